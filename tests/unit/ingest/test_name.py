"""No name may be both a file and a folder, and none lies where the server shows receipts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.databases import an_arrival
from wharfinger.errors import NameRefused
from wharfinger.ingest.name import refuse_clash
from wharfinger.ledger import Database, User
from wharfinger.ledger.sqlite import SqliteDatabase


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = SqliteDatabase(tmp_path / "ledger.db", tree="inbox")
    database.ledger.arrive([an_arrival("acme/inbound/a.csv")])
    database.accounts.add(User("ann", customer="acme", home="acme/north/"))
    yield database
    database.close()


@pytest.mark.parametrize(
    "key",
    [
        *("acme/inbound/a.csv", "acme/inbound/b.csv", "acme/new/b.csv"),
        *(
            "acme/inbound/receipts/b.csv",
            "acme/south/receipts/b.csv",
            "acme/receipts.csv",
            "acme/north/inbound/receipts",
        ),
    ],
)
def test_a_name_is_free_or_a_file(key: str, database: Database) -> None:
    refuse_clash(database, key)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("acme/inbound", "NAME_TAKEN"),
        ("acme", "NAME_TAKEN"),
        ("acme/inbound/a.csv/b.csv", "NAME_TAKEN"),
        ("acme/receipts", "NAME_RESERVED"),
        ("acme/receipts/2026-11-21/b.csv", "NAME_RESERVED"),
        ("acme/north/receipts/b.csv", "NAME_RESERVED"),
        ("new/receipts/b.csv", "NAME_RESERVED"),
    ],
)
def test_a_name_that_would_be_two_things_is_refused(key: str, code: str, database: Database) -> None:
    with pytest.raises(NameRefused) as caught:
        refuse_clash(database, key)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)
