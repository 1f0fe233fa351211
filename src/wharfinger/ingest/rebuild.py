"""A lost ledger, made anew from what the store's journal says."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, fields, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson

from wharfinger.config.order import Grouping, unordered
from wharfinger.errors import StoreError
from wharfinger.ledger import MANY, Catalog, Database
from wharfinger.model import Arrival, Delivered, ObjectRef, file_id
from wharfinger.store import Listed, Store, noted_cancel, noted_delivery, noted_purge
from wharfinger.store.removal import remove


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found: objects, but for the last three."""

    arrivals: int = 0  # recorded anew
    delivered: int = 0  # of these: known as transferred
    cancelled: int = 0  # of these: known as cancelled
    known: int = 0  # were in the ledger already
    others: int = 0  # lie in the bucket and are no arrivals
    purged: int = 0  # files without bytes that are recorded anew, or whose record is told so
    stay: int = 0  # of the purged: their bytes are still there, for the store refuses to remove them
    unread: int = 0  # notes that this version cannot read

    def __add__(self, more: Rebuilt) -> Rebuilt:
        return Rebuilt(*(getattr(self, each.name) + getattr(more, each.name) for each in fields(self)))


class Notes:
    """What the notes say of files: in tables on disk, for there may be as many notes as objects."""

    def __init__(self, folder: Path, notes: Iterable[Mapping[str, Any]]) -> None:
        """Lay out the tables in `folder`. Raises StoreError where it has no room."""
        self.unread = 0  # notes that were passed over
        try:
            with ExitStack() as undo:
                self._db = undo.enter_context(closing(sqlite3.connect(folder / "notes")))
                self._db.execute("PRAGMA journal_mode = OFF")
                for kind in ("delivery", "purge", "cancel"):
                    self._db.execute(f"CREATE TABLE {kind}(file_id TEXT PRIMARY KEY, note BLOB) WITHOUT ROWID")
                for kind, file_id, note in self._rows(notes):
                    self._db.execute(f"INSERT OR REPLACE INTO {kind} VALUES (?, ?)", (file_id, note))  # noqa: S608
                undo.pop_all()
        except sqlite3.Error as exc:
            raise StoreError(f"{folder}: {exc}", fix="make room there, then rebuild again") from exc

    def _rows(self, notes: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, bytes]]:
        for note in notes:
            try:
                purge, delivery, cancel = noted_purge(note), noted_delivery(note), noted_cancel(note)
            except ValueError:
                self.unread += 1
            else:
                if purge:
                    yield "purge", purge.file_id, orjson.dumps(note)
                elif delivery:
                    yield "delivery", delivery[0], orjson.dumps(note)
                elif cancel:
                    yield "cancel", cancel[0], orjson.dumps(note)

    def delivered(self, file_id: str) -> tuple[tuple[Delivered, ...] | None, str, int]:
        """
        What the last note on deliveries of this file names, what it went on without, and how many it counts beside; None, "" and 0 where
        there is none.
        """
        found = self._db.execute("SELECT note FROM delivery WHERE file_id = ?", (file_id,)).fetchone()
        noted = noted_delivery(orjson.loads(found[0])) if found else None
        return noted[1:] if noted else (None, "", 0)

    def cancelled(self, file_id: str) -> str | None:
        """Who cancelled this file, if somebody did and it was not replayed since."""
        found = self._db.execute("SELECT note FROM cancel WHERE file_id = ?", (file_id,)).fetchone()
        noted = noted_cancel(orjson.loads(found[0])) if found else None
        return noted[1] if noted else None

    def purged(self) -> Iterator[Arrival]:
        """The files whose bytes were given up, as far as is known with what was delivered of them."""
        for (note,) in self._db.execute("SELECT note FROM purge ORDER BY file_id"):
            arrival = noted_purge(orjson.loads(note))
            assert arrival
            delivered, _, unnamed = self.delivered(arrival.file_id)
            yield replace(arrival, delivered=delivered, unnamed=unnamed)

    def close(self) -> None:
        """Let go of the tables."""
        self._db.close()


def rebuild(
    store: Store,
    database: Database,
    bucket: str,
    *,
    group: Grouping = unordered,
    seen: Callable[[Rebuilt], None] = lambda _: None,
) -> Rebuilt:
    """
    Record every arrival of `bucket` that the store's journal tells of, with the ids, hashes and times it had. What a note says
    was delivered is recorded as transferred, what one says was purged as that, and what is left of its bytes goes; what one says
    was cancelled is cancelled. Every other arrival runs again, those of one `group` in the order of the journal, and a destination that
    holds the same bytes under the same name stays untouched. A note that cannot be read counts as none. `seen` hears of each batch.
    Memory does not grow with the journal.

    Safe to repeat, also after a crash halfway: an arrival that the ledger knows is left as it is, unless its bytes are purged, or it was
    cancelled before anything else happened to it.
    """
    total = Rebuilt()
    scratch = store.scratch()
    try:
        with closing(Notes(scratch, store.notes())) as notes:
            purged = (arrival for arrival in notes.purged() if arrival.bucket == bucket)
            while some := list(islice(purged, MANY)):
                total += _record_purged(store, database, some)
            objects = store.list(bucket)
            while batch := list(islice(objects, MANY)):
                found = _record(database, batch, notes, group)
                seen(found)
                total += found
            total += Rebuilt(unread=notes.unread)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return total


def lost(store: Store, catalog: Catalog, bucket: str) -> int:
    """
    How many arrivals of `bucket` the store's journal begins with, those first whose bytes are kept, counted up to MANY + 1, if the
    ledger knows none of these: it is not the one that recorded them. Else 0. Up to MANY may be what a crash left before the first
    arrival was recorded.
    """
    kept = (listed.about["file_id"] for listed in store.list(bucket) if _has_landed(listed))
    oldest = []
    for id in islice(chain(kept, _purged(store, bucket)), MANY + 1):
        if catalog.file(id):
            return 0
        oldest.append(id)
    return len(oldest)


def unrecorded(store: Store, catalog: Catalog, bucket: str, *, before: float) -> Iterator[ObjectRef]:
    """
    The objects of `bucket` that landed before `before` (epoch s) and that the ledger does not know: a crash came before their
    arrival was committed, or the ledger is older than they are. A rebuild would record them.
    """
    for listed in store.list(bucket):
        if listed.at < before and _has_landed(listed) and catalog.file(listed.about["file_id"]) is None:
            yield listed.ref


def _purged(store: Store, bucket: str) -> Iterator[str]:
    for note in store.notes():
        with suppress(ValueError):  # of a version to come
            if (purge := noted_purge(note)) and purge.bucket == bucket:
                yield purge.file_id


def _record_purged(store: Store, database: Database, arrivals: Sequence[Arrival]) -> Rebuilt:
    """A ledger that is older than the purge knows such a file as one that it keeps."""
    refused = remove(store, [arrival.ref for arrival in arrivals])
    recorded = sum(database.ledger.arrive(arrivals))
    for arrival in arrivals:
        if arrival.purge:
            recorded += sum(database.purges.order([arrival.file_id], by=arrival.purge.by, rule=arrival.purge.rule))
    database.purges.confirm([arrival.file_id for arrival in arrivals])
    return Rebuilt(purged=recorded, stay=len(refused))


def _record(database: Database, batch: Sequence[Listed], notes: Notes, group: Grouping) -> Rebuilt:
    arrivals = [_arrival(each, notes, group) for each in batch if _has_landed(each)]
    new = database.ledger.arrive(arrivals)
    return Rebuilt(
        arrivals=sum(new),
        delivered=sum(is_new and arrival.delivered is not None for arrival, is_new in zip(arrivals, new)),
        cancelled=sum([_cancel(database, arrival, notes) and is_new for arrival, is_new in zip(arrivals, new)]),
        known=len(new) - sum(new),
        others=len(batch) - len(arrivals),
    )


def _cancel(database: Database, arrival: Arrival, notes: Notes) -> bool:
    """Whether it is cancelled by this: nothing has happened to it since it arrived, and a note says that somebody did."""
    by = notes.cancelled(arrival.file_id) if arrival.delivered is None else None
    if by is None or len(database.catalog.events(arrival.file_id)) > 1:
        return False
    return database.ledger.cancel([arrival.file_id], by) == [True]


def _has_landed(listed: Listed) -> bool:
    """Whether `land` wrote the line; what a pipeline delivers into the same bucket tells of no customer."""
    ref = listed.ref
    return "customer" in listed.about and listed.about.get("file_id") == file_id(ref.bucket, ref.key, ref.version)


def _arrival(listed: Listed, notes: Notes, group: Grouping) -> Arrival:
    ref, about = listed.ref, listed.about
    delivered, error, unnamed = notes.delivered(about["file_id"])
    return Arrival(
        bucket=ref.bucket,
        key=ref.key,
        version=ref.version,
        size=ref.size,
        sha256=ref.sha256,
        customer=about["customer"],
        at=about["at"],
        media_type=about["media_type"],
        source=about["source"],
        user=about["user"],
        session=about["session"],
        cost=about["cost"],
        mtime=about["mtime"],
        delivered=delivered,
        group=group(about["customer"], ref.key),
        error=error,
        unnamed=unnamed,
    )
