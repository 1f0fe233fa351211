"""Somebody with the ledger's file in their hands changes it: each change is found, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from rig.databases import Clock, an_arrival, arrived, claimed, quarantined, retried, transferred, unrouted
from wharfinger.ledger import Database, chain, signature
from wharfinger.ledger.checkpoint import signer
from wharfinger.ledger.inspection import Finding, Inspection
from wharfinger.ledger.keyring import Keyring
from wharfinger.ledger.signature import Signed
from wharfinger.ledger.sqlite import SqliteDatabase


class Books:
    """A ledger with a past: files in every place, under three checkpoints, the second signed by another key."""

    def __init__(self, root: Path) -> None:
        self.path, self.clock, self.ring = root / "ledger.db", Clock(), Keyring(root)
        self.database: Database = SqliteDatabase(self.path, clock=self.clock)
        ledger = self.database.ledger
        self.files = [arrival.file_id for arrival in arrived(ledger, 6)]
        self.cover()
        self.ring.rotate()
        first = claimed(ledger)
        ledger.settle([transferred(first)])
        ledger.settle([quarantined(claimed(ledger))])
        ledger.settle([retried(claimed(ledger), self.clock.now + 5)])
        ledger.settle([unrouted(claimed(ledger))])
        self.database.namespace.remove(first.arrival.key)
        assert ledger.cancel([self.files[1]], "ann") == ledger.cancel([self.files[4]], "ann") == [True]
        self.cover()
        self.ring.rotate()
        ledger.replay([self.files[1]])
        self.kept = signature.read(self.cover())
        self.late = an_arrival()
        ledger.arrive([self.late])

    def cover(self) -> bytes:
        self.clock.forward(60)
        made = self.database.audit.checkpoint(signer(self.ring), every_s=60)
        assert made
        return made.signed

    def walk(self, kept: Signed | None = None) -> Inspection:
        return Inspection(self.database.catalog, self.database.audit, self.ring.holds, kept=kept)

    def found(self, kept: Signed | None = None) -> list[Finding]:
        return list(self.walk(kept))

    def tamper(self, sql: str, *values: object) -> None:
        db = apsw.Connection(str(self.path))
        db.execute(sql, values)  # type: ignore[arg-type]
        assert db.changes()
        db.close()


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    books = Books(tmp_path)
    yield books
    books.database.close()


def test_a_ledger_that_nobody_touched_is_as_it_was_written(books: Books) -> None:
    walk = books.walk(books.kept)
    assert list(walk) == []
    assert (walk.checkpoints, walk.files, walk.events) == (3, 7, 6 + 4 + 1 + 2 + 1 + 1)


CHANGES = {
    "a size": ("UPDATE file SET size = size + 1 WHERE file_id = ?", 2, "event"),
    "a key": ("UPDATE file SET key = key || 'x' WHERE file_id = ?", 5, "event"),
    "a customer": ("UPDATE file SET customer = 'globex' WHERE file_id = ?", 5, "event"),
    "a hash": ("UPDATE file SET sha256 = zeroblob(32) WHERE file_id = ?", 3, "event"),
    "a time": ("UPDATE file SET at = at + 1 WHERE file_id = ?", 3, "record"),
    "when it was transferred": ("UPDATE run SET transferred = transferred + 1 WHERE id = ?", 0, "record"),
    "the time of an event": ("UPDATE event SET at = at + 1 WHERE file_id = ? AND n = 2", 0, "event"),
    "the kind of an event": ("UPDATE event SET kind = 'failed' WHERE file_id = ? AND n = 2", 0, "event"),
    "what an event tells": ("UPDATE event SET data = '{}' WHERE file_id = ? AND n = 2", 0, "event"),
    "an event that is no JSON": ("UPDATE event SET data = 'x' WHERE file_id = ? AND kind = 'retry'", 2, "event"),
    "the hash of an event": ("UPDATE event SET hash = zeroblob(32) WHERE file_id = ? AND n = 1", 4, "event"),
    "the pipeline of an event": ("UPDATE event SET revision = NULL WHERE file_id = ? AND n = 2", 0, "event"),
    "an event in the middle gone": ("DELETE FROM event WHERE file_id = ? AND n = 2", 0, "event"),
    "the last event gone": ("DELETE FROM event WHERE file_id = ? AND n = 3", 0, "event"),
    "all events gone": ("DELETE FROM event WHERE file_id = ?", 4, "event"),
    "a record gone": ("DELETE FROM file WHERE file_id = ?", 4, "event"),
    "a run gone": ("DELETE FROM run WHERE id = ?", 4, "event"),
    "a status": ("UPDATE run SET status = 'failed' WHERE id = ?", 0, "record"),
    "a success without an event": ("UPDATE run SET status = 'transferred' WHERE id = ?", 4, "record"),
    "a reason": ("UPDATE run SET error = 'OTHER: words' WHERE id = ? AND status = 'transferred'", 0, "record"),
}


@pytest.mark.parametrize(("sql", "n", "kind"), CHANGES.values(), ids=CHANGES.keys())
def test_what_is_changed_about_a_file_is_found_and_named(books: Books, sql: str, n: int, kind: str) -> None:
    books.tamper(sql, books.files[n])
    found = books.found()
    assert found
    assert {finding.file_id for finding in found} == {books.files[n]}
    assert kind in {finding.kind for finding in found}


def test_a_history_that_is_chained_anew_is_not_what_a_checkpoint_covers(books: Books) -> None:
    """The attacker who knows how: the whole chain of the file is recomputed over a false event."""
    file_id = books.files[0]
    before = b""
    for event in books.database.catalog.events(file_id):
        at = round(event.at * 1_000_000) + (event.n == 3)
        before = chain.seal(before, file_id, event.n, at, event.kind, chain.canonical(event.data))
        books.tamper("UPDATE event SET at = ?, hash = ? WHERE file_id = ? AND n = ?", at, before, file_id, event.n)
    assert chain.verify(books.database.catalog.events(file_id)) == []
    assert {(finding.kind, finding.file_id) for finding in books.found()} == {("event", file_id)}
    books.tamper("UPDATE audit_leaf SET hash = ? WHERE file_id = ? AND n = 3", before, file_id)
    assert {(finding.kind, finding.checkpoint) for finding in books.found()} == {("checkpoint", 2)}


def test_an_event_that_is_added_past_the_ledger_is_found(books: Books) -> None:
    file_id = books.files[5]
    (event,) = books.database.catalog.events(file_id)
    at = round(event.at * 1_000_000)
    hash = chain.seal(bytes.fromhex(event.hash), file_id, 2, at, "stale", b"{}")
    sql = "INSERT INTO event(file_id, n, at, kind, data, hash) VALUES (?, 2, ?, 'stale', '{}', ?)"
    books.tamper(sql, file_id, at, hash)
    (finding,) = books.found()
    assert (finding.kind, finding.file_id, "under no checkpoint" in finding.message) == ("event", file_id, True)


LOSSES: dict[str, Callable[[Books], None]] = {
    "the first": lambda books: books.tamper("DELETE FROM audit_checkpoint WHERE n = 1"),
    "one in the middle": lambda books: books.tamper("DELETE FROM audit_checkpoint WHERE n = 2"),
    "a leaf": lambda books: books.tamper("DELETE FROM audit_leaf WHERE checkpoint = 2 AND file_id = ?", books.files[1]),
    "all leaves of one": lambda books: books.tamper("DELETE FROM audit_leaf WHERE checkpoint = 2"),
    "a byte of a statement": lambda books: books.tamper(
        "UPDATE audit_checkpoint SET signed = replace(signed, '\"n\":2', '\"n\":9') WHERE n = 2"
    ),
    "all bytes of a statement": lambda books: books.tamper("UPDATE audit_checkpoint SET signed = 'x' WHERE n = 2"),
    "its number": lambda books: books.tamper("UPDATE audit_checkpoint SET n = 7 WHERE n = 3"),
    "another in its place": lambda books: books.tamper(
        "UPDATE audit_checkpoint SET signed = (SELECT signed FROM audit_checkpoint WHERE n = 1) WHERE n = 2"
    ),
}


@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES.keys())
def test_a_checkpoint_that_is_missing_or_changed_is_found(books: Books, lose: Callable[[Books], None]) -> None:
    lose(books)
    assert "checkpoint" in {finding.kind for finding in books.found()}


def test_the_last_checkpoint_is_missed_too(books: Books) -> None:
    books.tamper("DELETE FROM audit_leaf WHERE checkpoint = 3")
    books.tamper("DELETE FROM audit_checkpoint WHERE n = 3")
    assert [(finding.kind, finding.file_id) for finding in books.found()] == [("event", books.files[1])]


def test_a_ledger_that_was_rewritten_as_a_whole_lacks_the_checkpoint_that_was_kept(books: Books) -> None:
    for table in ("audit_leaf", "audit_checkpoint"):
        books.tamper(f"DELETE FROM {table}")
    books.tamper("INSERT OR IGNORE INTO audit_pending SELECT file_id FROM file")
    books.cover()
    assert books.found() == []
    (finding,) = books.found(books.kept)
    assert (finding.kind, "was kept" in finding.message) == ("checkpoint", True)


def test_a_checkpoint_by_a_key_that_nobody_trusts_is_found(books: Books, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = Keyring(tmp_path / "other")
    books.clock.forward(60)
    books.database.audit.checkpoint(signer(stranger), every_s=0)
    (finding,) = books.found()
    assert (finding.checkpoint, "trusted key" in finding.message) == (4, True)


def test_many_files_are_walked_in_pages(tmp_path: Path) -> None:
    books = Books(tmp_path)
    arrived(books.database.ledger, 250)
    books.cover()
    told: list[float] = []
    walk = Inspection(books.database.catalog, books.database.audit, books.ring.holds, advance=told.append)
    assert list(walk) == []
    assert (walk.files, sum(told)) == (257, 257)
    books.database.close()
