from __future__ import annotations

from pathlib import Path

import pytest

from wharfinger.errors import Busy
from wharfinger.ledger import User
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.ledger.sqlite.aside import move_aside


def test_a_ledger_is_whole_under_its_new_name_and_the_old_name_is_free(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    database = SqliteDatabase(path)
    database.accounts.keep([User("bob", "acme", "acme")])
    database.close()
    aside = move_aside(str(path))
    assert [p.name for p in tmp_path.iterdir()] == [aside.name]
    kept = SqliteDatabase(aside)
    assert [user.name for user in kept.accounts.users()] == ["bob"]
    kept.close()


def test_a_ledger_in_use_is_left_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    database = SqliteDatabase(path)
    database.accounts.users()
    with pytest.raises(Busy) as caught:
        move_aside(str(path))
    assert "stop wharf serve" in caught.value.fix
    assert path.exists()
    database.accounts.keep([User("bob", "acme", "acme")])
    database.close()
