from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.yard import Yard


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with Yard(tmp_path) as yard:
        yield yard
