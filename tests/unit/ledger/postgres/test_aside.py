from __future__ import annotations

import pytest

from wharfinger.errors import Busy
from wharfinger.ledger import User
from wharfinger.ledger.postgres import PostgresDatabase
from wharfinger.ledger.postgres.aside import move_aside

BOB = User("bob", "acme", "acme")


def test_a_ledger_is_whole_in_its_new_schema_and_the_old_one_is_free(url: str) -> None:
    database = PostgresDatabase(url)
    database.accounts.keep([BOB])
    database.ledger.register("a" * 64, "all", "{}")
    database.close()
    aside = move_aside(url)
    new = PostgresDatabase(url)
    assert new.accounts.users() == []
    kept = PostgresDatabase(f"{url.partition('%3D')[0]}%3D{aside}")
    assert kept.accounts.users() == [BOB]
    for database in (new, kept):
        database.ledger.register("b" * 64, "all", "{}")
        database.close()


def test_a_ledger_in_use_is_left_where_it_is(url: str) -> None:
    database = PostgresDatabase(url)
    with pytest.raises(Busy) as caught:
        move_aside(url)
    assert "stop wharf serve" in caught.value.fix
    database.accounts.keep([BOB])
    assert database.accounts.users() == [BOB]
    database.close()
