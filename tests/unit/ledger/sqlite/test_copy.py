from __future__ import annotations

from pathlib import Path

import pytest

from wharfinger.errors import UsageError
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.ledger.sqlite.copy import SqliteCopies


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_what_is_left_beside_a_ledger_that_is_gone_takes_its_place(end: str, tmp_path: Path) -> None:
    left = tmp_path / f"ledger.db{end}"
    left.write_bytes(b"of another ledger")
    assert SqliteCopies(str(tmp_path / "ledger.db")).occupants() == [str(left)]


@pytest.mark.parametrize("end", ["", "-wal", "-journal"])
def test_nothing_but_the_copy_itself_is_replaced_by_it(end: str, tmp_path: Path) -> None:
    copies, copied = SqliteCopies(str(tmp_path / "ledger.db")), tmp_path / "copied"
    copied.mkdir()
    SqliteDatabase(tmp_path / "ledger.db").close()
    copies.copy(copied)
    (tmp_path / "ledger.db").unlink()
    copies.restore(copied)
    copies.restore(copied)
    with (tmp_path / f"ledger.db{end}").open("ab") as file:
        file.write(b"more")
    with pytest.raises(UsageError) as caught:
        copies.restore(copied)
    assert (caught.value.code, f"ledger.db{end}" in caught.value.fix) == ("NOT_EMPTY", True)
