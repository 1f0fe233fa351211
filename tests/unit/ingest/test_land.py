"""What becomes of bytes whose arrival the ledger refuses. The ledger is a real one, whose file is made to fail."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from wharfinger.errors import Busy, Corrupt, LedgerError
from wharfinger.ingest import Upload, land
from wharfinger.ledger import Filter
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.ledger.sqlite.queue import SqliteLedger
from wharfinger.model import Arrival
from wharfinger.store import Store
from wharfinger.store.local import LocalStore
from wharfinger.store.versions import Versions

fresh = Versions()


class Deaf(SqliteLedger):
    """Commits, and loses the answer."""

    def arrive(self, arrivals: Sequence[Arrival]) -> list[bool]:
        super().arrive(arrivals)
        raise LedgerError("disk I/O error")


FORBIDDEN = "CREATE TRIGGER refuse BEFORE INSERT ON run WHEN new.size = 6 BEGIN SELECT raise(ABORT, 'refused'); END"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = LocalStore(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "ledger.db", tree="inbox", patience_s=0.05)
    yield database
    database.close()


@pytest.fixture
def other(tmp_path: Path, database: SqliteDatabase) -> Iterator[apsw.Connection]:
    """Another program with the ledger's file open."""
    connection = apsw.Connection(str(tmp_path / "ledger.db"))
    yield connection
    connection.close()


def upload(store: Store, content: bytes) -> Upload:
    path = store.scratch() / "staged"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return Upload(path, "acme/inbound/a.csv", fresh(), len(content), digest, "acme")


def objects(store: Store) -> int:
    return sum(1 for _ in store.list("inbox"))


def test_a_busy_ledger_leaves_no_object_behind(store: Store, database: SqliteDatabase, other: apsw.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy):
        land(store, database.ledger, "inbox", [upload(store, b"first"), upload(store, b"second")])
    assert objects(store) == 0


def test_bytes_that_another_may_have_landed_under_the_same_version_stay(
    store: Store, database: SqliteDatabase, other: apsw.Connection
) -> None:
    repeated = replace(upload(store, b"first"), is_repeated=True)
    assert land(store, database.ledger, "inbox", [repeated])
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy):
        land(store, database.ledger, "inbox", [repeated, upload(store, b"second")])
    assert [listed.ref.version for listed in store.list("inbox")] == [repeated.version]


def test_other_bytes_in_the_place_of_those_that_are_in_custody_are_never_acknowledged(
    store: Store, database: SqliteDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """As where two nodes upload to a bucket at the same time: the store knew of nothing when it took them."""
    first = replace(upload(store, b"first"), is_repeated=True)
    [arrival] = land(store, database.ledger, "inbox", [first])
    assert isinstance(arrival, Arrival)
    store.delete([arrival.ref])
    other = replace(upload(store, b"other"), version=first.version, is_repeated=True)
    fresh = upload(store, b"fresh")
    answers = land(store, database.ledger, "inbox", [other, fresh])
    assert [type(answer) for answer in answers] == [Corrupt, Arrival]
    assert "store verify" in caplog.text


def test_a_refusing_ledger_leaves_no_object_behind(
    store: Store, database: SqliteDatabase, other: apsw.Connection
) -> None:
    other.execute(FORBIDDEN)
    with pytest.raises(LedgerError, match="refused"):
        land(store, database.ledger, "inbox", [upload(store, b"first"), upload(store, b"second")])
    assert objects(store) == 0


def test_what_was_recorded_before_keeps_its_bytes(
    store: Store, database: SqliteDatabase, other: apsw.Connection
) -> None:
    before = upload(store, b"first")
    land(store, database.ledger, "inbox", [before])
    other.execute(FORBIDDEN)
    with pytest.raises(LedgerError, match="refused"):
        land(store, database.ledger, "inbox", [before, upload(store, b"second")])
    assert [listed.ref.version for listed in store.list("inbox")] == [before.version]


def test_bytes_whose_commit_was_answered_with_an_error_stay(store: Store, database: SqliteDatabase) -> None:
    deaf = Deaf(database._connections, tree="inbox", clock=lambda: 1.0)
    with pytest.raises(LedgerError, match="disk I/O error"):
        land(store, deaf, "inbox", [upload(store, b"first")])
    assert objects(store) == len(database.catalog.files(Filter())) == 1


def test_bytes_stay_where_the_ledger_cannot_be_asked(
    store: Store, database: SqliteDatabase, other: apsw.Connection
) -> None:
    other.execute("DROP TABLE file")
    with pytest.raises(LedgerError):
        land(store, database.ledger, "inbox", [upload(store, b"first")])
    assert objects(store) == 1
