from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rig import postgres
from wharfinger.ledger.postgres.connection import Connections


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of an empty database."""
    return postgres.schema(tmp_path)


@pytest.fixture
def connections(url: str) -> Iterator[Connections]:
    opened = Connections(url, 0.3)
    yield opened
    opened.close()
