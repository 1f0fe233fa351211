"""Copies of a ledger as a whole: as of one instant, and a ledger like it where they are brought back."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from rig import postgres
from rig.databases import DATABASES, Clock, a_child, an_arrival, arrived, claimed, parent_of, retried, transferred
from rig.waiting import wait_until
from wharfinger.errors import Incompatible, LedgerError, UsageError
from wharfinger.ledger import Copies, Database, Entry, Filter, User, chain
from wharfinger.ledger.postgres.copy import PostgresCopies
from wharfinger.ledger.sqlite.copy import SqliteCopies
from wharfinger.model import Group, Status

COPIES: Mapping[str, Callable[[Path], Copies]] = {
    "sqlite": lambda root: SqliteCopies(str(root / "ledger.db")),
    "postgres": lambda root: PostgresCopies(postgres.schema(root)),
}


def sqlite_of_later(copied: Path) -> None:
    with closing(sqlite3.connect(copied / "ledger.db")) as db:
        db.execute("PRAGMA user_version = 1000")


def postgres_of_later(copied: Path) -> None:
    manifest = copied / "ledger" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 1000}))


LATER: Mapping[str, Callable[[Path], None]] = {"sqlite": sqlite_of_later, "postgres": postgres_of_later}
"""Make a copy one of a version to come."""

Restore = Callable[[], None]

STRANGE = 'acme/inbound/"a",\r\n\\.\\N\t é.csv'
"""A key that means something to whoever writes rows as lines."""


@pytest.fixture
def copies(backend: str, tmp_path: Path) -> Copies:
    return COPIES[backend](tmp_path)


@pytest.fixture
def copied(backend: str, tmp_path: Path) -> Path:
    """Where copies are put."""
    place = tmp_path / "copied"
    place.mkdir()
    return place


@pytest.fixture
def restore(backend: str, tmp_path: Path, copied: Path) -> Restore:
    """Brings the copy back as another ledger."""
    return lambda: COPIES[backend](tmp_path / "back").restore(copied)


@pytest.fixture
def back(backend: str, tmp_path: Path, restore: Restore, clock: Clock) -> Iterator[Callable[[], Database]]:
    """The same, opened."""
    opened: list[Database] = []

    def bring() -> Database:
        restore()
        opened.append(DATABASES[backend](tmp_path / "back", clock=clock))
        return opened[-1]

    yield bring
    for database in opened:
        database.close()


def busy(database: Database) -> None:
    """A ledger with something of everything."""
    ledger = database.ledger
    database.accounts.keep([User("bob", "acme", "acme", ("ssh-ed25519 A b",), ""), User("ann", "acme", "acme")])
    database.namespace.make([Entry("acme/empty", "directory", mtime=1.0)])
    ledger.register("f" * 64, "claims", '{"steps": []}')
    arrived(ledger, 2)
    ledger.settle([transferred(claimed(ledger))])
    ledger.settle([retried(claimed(ledger), 1_750_000_060.0)])
    ledger.arrive([an_arrival(STRANGE), *(an_arrival(group=Group("g")) for _ in range(3))])
    parent_of(ledger, a_child("a"), a_child("b"))
    ledger.claim("holder", 2, 30)
    database.gates.pause("claims", "ann")
    database.audit.publish([b"{}"])
    database.audit.checkpoint(lambda *_: b"signed", every_s=0)


def told(database: Database) -> dict[str, Any]:
    """All that a ledger has to say."""
    files = database.catalog.files(Filter())
    return {
        "files": files,
        "counts": database.catalog.counts(),
        "events": {file.file_id: database.catalog.events(file.file_id) for file in files},
        "tree": database.namespace.children("acme"),
        "users": database.accounts.users(),
        "checkpoints": [(each, database.audit.leaves(each.n)) for each in database.audit.checkpoints()],
        "keys": database.audit.publish([b"{}"]),
    }


def test_a_ledger_that_is_brought_back_says_the_same(
    database: Database, copies: Copies, copied: Path, back: Callable[[], Database]
) -> None:
    busy(database)
    before = told(database)
    names = copies.copy(copied)
    assert {str(path.relative_to(copied)) for path in copied.rglob("*") if path.is_file()} == set(names)
    assert copies.is_one(copied)
    restored = back()
    assert told(restored) == before
    assert all(chain.verify(events) == [] for events in told(restored)["events"].values())


def test_a_ledger_that_is_brought_back_goes_on(
    database: Database, clock: Clock, copies: Copies, copied: Path, back: Callable[[], Database]
) -> None:
    busy(database)
    copies.copy(copied)
    restored = back()
    assert restored.ledger.sweep(owner="holder") == database.ledger.sweep(owner="holder") != []
    for each in (database, restored):
        each.ledger.register("a" * 64, "others", "{}")
        each.audit.publish([b"{}", b"{2}"])
        assert each.ledger.arrive([an_arrival("acme/next", version="V", group=Group("g"))]) == [True]
    clock.forward(120)
    ends = []
    for each in (database, restored):
        order = []
        while runs := each.ledger.claim("worker", 1, 30):
            order += [run.arrival.key for run in runs]
            each.ledger.settle([transferred(run) for run in runs])
        ends.append(order)
    assert ends[0] == ends[1]
    assert told(restored)["files"] == told(database)["files"]


def test_a_copy_tells_which_objects_it_needs(database: Database, copies: Copies, copied: Path) -> None:
    busy(database)
    files = database.catalog.files(Filter())
    given_up = [file.file_id for file in files if file.status == Status.TRANSFERRED]
    assert database.purges.order(given_up, by="ann") == [True]
    copies.copy(copied)
    assert copies.files(copied) == len(files)
    assert {*copies.kept(copied)} == {file.ref for file in files if file.file_id not in given_up}
    assert STRANGE in {ref.key for ref in copies.kept(copied)}


def test_a_copy_is_of_one_instant(
    database: Database, copies: Copies, copied: Path, back: Callable[[], Database]
) -> None:
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            arrived(database.ledger)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        wait_until("files come in", lambda: len(database.catalog.files(Filter())) > 20)
        copies.copy(copied)
    finally:
        over.set()
        sender.join()
    restored = back()
    files = [file.file_id for file in restored.catalog.files(Filter())]
    assert copies.files(copied) == len(files) == sum(restored.catalog.counts().files.values())
    assert [id for id in files if len(restored.catalog.events(id)) != 1] == []
    assert len(restored.namespace.children("acme/inbound")) == len(files)
    claims = iter(lambda: restored.ledger.claim("worker", 100, 30), [])
    assert sum(map(len, claims)) == len(files)


def test_where_no_ledger_is_nothing_is_copied_and_none_is_made(copies: Copies, copied: Path) -> None:
    with pytest.raises(LedgerError) as caught:
        copies.copy(copied)
    assert (caught.value.code, "wharf restore" in caught.value.fix) == ("NO_LEDGER", True)
    assert copies.occupants() == []


def test_an_empty_ledger_is_copied_as_well(
    database: Database, copies: Copies, copied: Path, back: Callable[[], Database]
) -> None:
    copies.copy(copied)
    assert (copies.files(copied), [*copies.kept(copied)]) == (0, [])
    assert told(back())["files"] == []


def test_a_place_is_taken_from_the_first_table_on(copies: Copies, open_database: Callable[[], Database]) -> None:
    assert copies.occupants() == []
    with closing(open_database()):
        assert copies.occupants() != []


def test_a_copy_of_a_newer_version_is_refused_and_its_place_stays_empty(
    backend: str, database: Database, copies: Copies, copied: Path, restore: Restore, tmp_path: Path
) -> None:
    copies.copy(copied)
    copies.check(copied)
    LATER[backend](copied)
    for refusing in (lambda: copies.check(copied), restore):
        with pytest.raises(Incompatible) as caught:
            refusing()
        assert "newer wharfinger" in caught.value.fix
    assert COPIES[backend](tmp_path / "back").occupants() == []


def test_a_copy_that_is_brought_back_again_changes_nothing(
    database: Database, copies: Copies, copied: Path, back: Callable[[], Database], restore: Restore
) -> None:
    busy(database)
    before = told(database)
    copies.copy(copied)
    restore()
    assert told(back()) == before


@pytest.mark.parametrize("when", ["open", "closed"])
def test_a_ledger_that_is_in_use_since_it_was_brought_back_is_not_replaced(
    when: str, database: Database, copies: Copies, copied: Path, back: Callable[[], Database], restore: Restore
) -> None:
    busy(database)
    copies.copy(copied)
    restored = back()
    arrived(restored.ledger)
    before = told(restored)
    if when == "closed":
        restored.close()
    with suppress(UsageError):
        restore()
    assert told(restored) == before
