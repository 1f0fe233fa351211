"""No name may be both a file and a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.databases import an_arrival
from wharfinger.errors import NameRefused
from wharfinger.ingest.name import refuse_clash
from wharfinger.ledger import Namespace
from wharfinger.ledger.sqlite import SqliteDatabase


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    database = SqliteDatabase(tmp_path / "ledger.db", tree="inbox")
    database.ledger.arrive([an_arrival("acme/inbound/a.csv")])
    yield database.namespace
    database.close()


@pytest.mark.parametrize("key", ["acme/inbound/a.csv", "acme/inbound/b.csv", "acme/new/b.csv"])
def test_a_name_is_free_or_a_file(key: str, namespace: Namespace) -> None:
    refuse_clash(namespace, key)


@pytest.mark.parametrize("key", ["acme/inbound", "acme", "acme/inbound/a.csv/b.csv"])
def test_a_name_that_would_be_both_is_refused(key: str, namespace: Namespace) -> None:
    with pytest.raises(NameRefused) as caught:
        refuse_clash(namespace, key)
    assert caught.value.code == "NAME_TAKEN"
