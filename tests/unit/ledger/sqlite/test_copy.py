from __future__ import annotations

from pathlib import Path

import pytest

from wharfinger.ledger.sqlite.copy import SqliteCopies


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_what_is_left_beside_a_ledger_that_is_gone_takes_its_place(end: str, tmp_path: Path) -> None:
    left = tmp_path / f"ledger.db{end}"
    left.write_bytes(b"of another ledger")
    assert SqliteCopies(str(tmp_path / "ledger.db")).occupants() == [str(left)]
