"""Suites that are the same whatever the ledger is run on every backend: each `wharf` and each yard has its ledger there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rig import postgres
from rig.databases import DATABASES
from rig.yard import Yard


@pytest.fixture(params=DATABASES)
def backend(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "postgres":
        monkeypatch.setenv("WHARF_LEDGER", postgres.schema(tmp_path))
    return str(request.param)


@pytest.fixture
def yard(tmp_path: Path, backend: str) -> Iterator[Yard]:
    with Yard(tmp_path) as yard:
        yield yard
