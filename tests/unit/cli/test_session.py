"""What a session opens it closes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.command import CONFIG
from rig.descriptors import ARE_TOLD, opened
from wharfinger.cli.session import Session


@pytest.mark.skipif(not ARE_TOLD, reason="needs /proc")
def test_nothing_of_the_store_stays_open(tmp_path: Path) -> None:
    session = Session()
    session.config = tmp_path / "wharf.yaml"
    session.config.write_text(CONFIG)
    session.store.note([{"a": 1}])
    assert opened(tmp_path)
    session.close()
    assert opened(tmp_path) == []
