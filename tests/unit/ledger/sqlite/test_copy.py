from __future__ import annotations

from pathlib import Path

import pytest

from wharfinger.errors import LedgerError, UsageError
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


def test_a_file_without_tables_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch()
    (tmp_path / "copied").mkdir()
    with pytest.raises(LedgerError) as caught:
        SqliteCopies(str(tmp_path / "ledger.db")).copy(tmp_path / "copied")
    assert caught.value.code == "NO_LEDGER"
