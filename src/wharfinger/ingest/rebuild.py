"""A lost ledger, made anew from what the store's journal says."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from wharfinger.errors import StoreError
from wharfinger.ledger import MANY, Catalog, Ledger
from wharfinger.model import Arrival, Delivered, ObjectRef, file_id
from wharfinger.store import Listed, Store, noted_delivery


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found: objects, but for the last."""

    arrivals: int = 0  # recorded anew
    delivered: int = 0  # of these: known as transferred
    known: int = 0  # were in the ledger already
    others: int = 0  # lie in the bucket and are no arrivals
    unread: int = 0  # notes on deliveries that this version cannot read

    def __add__(self, more: Rebuilt) -> Rebuilt:
        return Rebuilt(
            self.arrivals + more.arrivals,
            self.delivered + more.delivered,
            self.known + more.known,
            self.others + more.others,
            self.unread + more.unread,
        )


class Effects:
    """What the notes say was delivered, by file: in a table on disk, for there may be as many notes as objects."""

    def __init__(self, folder: Path, notes: Iterable[Mapping[str, Any]]) -> None:
        """Lay out the table in `folder`. Raises StoreError where it has no room."""
        self.unread = 0  # notes that were passed over
        try:
            with ExitStack() as undo:
                self._db = undo.enter_context(closing(sqlite3.connect(folder / "effects")))
                self._db.execute("PRAGMA journal_mode = OFF")
                self._db.execute("CREATE TABLE effect(file_id TEXT PRIMARY KEY, note BLOB) WITHOUT ROWID")
                self._db.executemany("INSERT OR REPLACE INTO effect VALUES (?, ?)", self._rows(notes))
                undo.pop_all()
        except sqlite3.Error as exc:
            raise StoreError(f"{folder}: {exc}", fix="make room there, then rebuild again") from exc

    def _rows(self, notes: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, bytes]]:
        for note in notes:
            try:
                noted = noted_delivery(note)
            except ValueError:
                self.unread += 1
            else:
                if noted:
                    yield noted[0], orjson.dumps(note)

    def get(self, file_id: str) -> tuple[Delivered, ...] | None:
        """What the last note on this file says; None where there is none."""
        found = self._db.execute("SELECT note FROM effect WHERE file_id = ?", (file_id,)).fetchone()
        noted = noted_delivery(orjson.loads(found[0])) if found else None
        return noted[1] if noted else None

    def close(self) -> None:
        """Let go of the table."""
        self._db.close()


def rebuild(store: Store, ledger: Ledger, bucket: str, *, seen: Callable[[Rebuilt], None] = lambda _: None) -> Rebuilt:
    """
    Record every arrival of `bucket` that the store's journal tells of, with the ids, hashes and times it had. What a note says
    was delivered is recorded as transferred; every other arrival runs again, and a destination that holds the same bytes under
    the same name stays untouched. A note that cannot be read counts as none. `seen` hears of each batch.
    Memory does not grow with the journal.

    Safe to repeat, also after a crash halfway: an arrival that the ledger knows is left as it is.
    """
    objects = store.list(bucket)
    total = Rebuilt()
    scratch = store.scratch()
    try:
        with closing(Effects(scratch, store.notes())) as effects:
            while batch := list(islice(objects, MANY)):
                found = _record(ledger, batch, effects)
                seen(found)
                total += found
            total += Rebuilt(unread=effects.unread)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return total


def lost(store: Store, catalog: Catalog, bucket: str) -> int:
    """
    How many arrivals of `bucket` the store's journal begins with, counted up to MANY + 1, if the ledger knows none of these: it is
    not the one that recorded them. Else 0. Up to MANY may be what a crash left before the first arrival was recorded.
    """
    oldest = [listed.about["file_id"] for listed in islice(filter(_has_landed, store.list(bucket)), MANY + 1)]
    return 0 if any(catalog.file(file_id) for file_id in oldest) else len(oldest)


def unrecorded(store: Store, catalog: Catalog, bucket: str, *, before: float) -> Iterator[ObjectRef]:
    """
    The objects of `bucket` that landed before `before` (epoch s) and that the ledger does not know: a crash came before their
    arrival was committed, or the ledger is older than they are. A rebuild would record them.
    """
    for listed in store.list(bucket):
        if listed.at < before and _has_landed(listed) and catalog.file(listed.about["file_id"]) is None:
            yield listed.ref


def _record(ledger: Ledger, batch: Sequence[Listed], effects: Effects) -> Rebuilt:
    arrivals = [_arrival(each, effects) for each in batch if _has_landed(each)]
    new = ledger.arrive(arrivals)
    return Rebuilt(
        arrivals=sum(new),
        delivered=sum(is_new and arrival.delivered is not None for arrival, is_new in zip(arrivals, new)),
        known=len(new) - sum(new),
        others=len(batch) - len(arrivals),
    )


def _has_landed(listed: Listed) -> bool:
    """Whether `land` wrote the line; what a pipeline delivers into the same bucket tells of no customer."""
    ref = listed.ref
    return "customer" in listed.about and listed.about.get("file_id") == file_id(ref.bucket, ref.key, ref.version)


def _arrival(listed: Listed, effects: Effects) -> Arrival:
    ref, about = listed.ref, listed.about
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
        delivered=effects.get(about["file_id"]),
    )
