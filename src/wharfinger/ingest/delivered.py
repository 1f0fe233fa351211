"""
Holds what a destination has against what the ledger says was delivered there.

What must be there is what the ledger tells of files that are transferred; of two that were delivered under one name the later. What
may be there is all that any file, also a failed one, has delivered. Nothing is changed here: a replay of the files that are told
delivers them again, and leaves untouched what lies there with the same bytes.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from wharfinger.errors import StoreError
from wharfinger.ingest.kept import SHOWN, forget_all_but, keep, kept
from wharfinger.ledger import MANY, Catalog, Filter
from wharfinger.model import Delivered, Event, Status
from wharfinger.names import readable
from wharfinger.store import Lying, Target

YOUNG_S = 900.0
"""What lies there for less may be a delivery that the ledger does not know yet."""

Kind = Literal["missing", "altered", "unexpected"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A name at a destination that is not as the ledger says."""

    kind: Kind
    key: str  # as far as it is text: see `names.readable`
    message: str
    file_id: str = ""  # the transferred file whose delivery it was: its replay mends it; "" where there is none


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a comparison of one destination found."""

    destination: str
    at: float  # when; epoch s
    delivered: int  # names that ought to be there, by the ledger
    listed: int  # files that lie there
    taken: int  # of the delivered: gone, as they may be where a destination does not keep
    missing: int
    altered: int
    unexpected: int
    findings: tuple[Finding, ...] = ()

    @property
    def unaccounted(self) -> int:
        """How many names are not as they should be."""
        return self.missing + self.altered + self.unexpected


class Comparison:
    """
    One of a destination. `place` is the bucket, or the directory, that deliveries name, `prefix` how their keys begin there. Memory
    grows with what is not as it should be, and with nothing else.
    """

    def __init__(
        self, name: str, place: str, target: Target, *, prefix: str = "", keeps: bool, sizes_only: bool = False
    ) -> None:
        self._name, self._place, self._prefix, self._target = name, place, prefix, target
        self._keeps, self._sizes_only = keeps, sizes_only

    def look(self, catalog: Catalog, scratch: Path, now: float) -> Holdings:
        """Compare once. `scratch` is an empty directory. Raises LedgerError, StoreError, and Transient where the destination is away."""
        try:
            with closing(_Table(scratch)) as table:
                for file_id, is_due, delivered in _told(catalog):
                    table.expect([*filter(self._is_here, delivered)], file_id, self._name, is_due)
                findings = [*self._listed(table, now)]
                due, gone = table.gone()
                if self._keeps:
                    findings += self._gone(table)
                listed = table.listed
        except sqlite3.Error as exc:
            raise StoreError(f"{scratch}: {exc}", fix="make room there, then compare again") from exc
        kinds = Counter(each.kind for each in findings)
        return Holdings(
            destination=self._name,
            at=now,
            delivered=due,
            listed=listed,
            taken=0 if self._keeps else gone,
            missing=kinds["missing"],
            altered=kinds["altered"],
            unexpected=kinds["unexpected"],
            findings=tuple(findings),
        )

    def _is_here(self, delivered: Delivered) -> bool:
        return delivered.bucket == self._place and delivered.key.startswith(self._prefix)

    def _listed(self, table: _Table, now: float) -> Iterator[Finding]:
        for lying in self._target.listing():
            known, key = table.see(lying), readable(lying.key)
            if known is None:
                if self._keeps and lying.at < now - YOUNG_S:
                    yield Finding("unexpected", key, "the ledger tells of no such delivery")
            elif lying.at < now and (why := self._altered(lying, known)):
                yield Finding("altered", key, why, known.file_id if known.is_due else "")

    def _altered(self, lying: Lying, known: _Known) -> str:
        """Why it is not what was delivered; "" if it is."""
        if lying.size != known.size:
            return f"{lying.size:,} bytes lie there, {known.size:,} were delivered"
        found = None if self._sizes_only else self._target.digest(lying)
        return f"its SHA-256 is {found}, but {known.sha256} was delivered" if found not in (None, known.sha256) else ""

    def _gone(self, table: _Table) -> Iterator[Finding]:
        for file_id, key in table.unseen():
            yield Finding("missing", key, "it was delivered, and is not there", file_id)


class _Known(NamedTuple):
    """The last that was delivered under a name."""

    file_id: str
    size: int
    sha256: str
    is_due: bool  # whether it must be there: it is not what a file has delivered that failed since, or runs again


class _Table:
    """What was told of a destination, by name: on disk, for there may be millions."""

    def __init__(self, folder: Path) -> None:
        self.listed = 0
        self._db = sqlite3.connect(folder / "delivered")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute(
            "CREATE TABLE told(key TEXT, version TEXT, file_id TEXT, size INTEGER, sha256 TEXT, at REAL, due INTEGER,"
            " seen INTEGER DEFAULT 0, PRIMARY KEY (key, version)) WITHOUT ROWID"
        )

    def expect(self, delivered: Sequence[Delivered], file_id: str, destination: str, is_due: bool) -> None:
        """These were delivered; those to this destination must be there if that is due. Under one name the latest counts."""
        self._db.executemany(
            "INSERT INTO told(key, version, file_id, size, sha256, at, due) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET file_id = excluded.file_id, size = excluded.size, sha256 = excluded.sha256, at = excluded.at, due = excluded.due"
            " WHERE excluded.at >= told.at",
            [
                (
                    each.key,
                    _version(each),
                    file_id,
                    each.size,
                    each.sha256,
                    each.at,
                    is_due and each.destination == destination,
                )
                for each in delivered
            ],
        )

    def see(self, lying: Lying) -> _Known | None:
        """What was told of what lies there."""
        self.listed += 1
        where = readable(lying.key), lying.version
        self._db.execute("UPDATE told SET seen = 1 WHERE key = ? AND version = ?", where)
        found = self._db.execute(
            "SELECT file_id, size, sha256, due FROM told WHERE key = ? AND version = ?", where
        ).fetchone()
        return found and _Known(*found)

    def gone(self) -> tuple[int, int]:
        """How many must be there, and how many of these are not."""
        due, gone = self._db.execute("SELECT count(*), count(*) FILTER (WHERE NOT seen) FROM told WHERE due").fetchone()
        return due, gone

    def unseen(self) -> Iterator[tuple[str, str]]:
        """File and name of what must be there and is not."""
        yield from self._db.execute("SELECT file_id, key FROM told WHERE due AND NOT seen ORDER BY key, version")

    def close(self) -> None:
        """Let go of it."""
        self._db.close()


def _version(delivered: Delivered) -> str:
    """In a directory a name has one file, whatever its version."""
    return "" if delivered.bucket.startswith("/") else delivered.version


def _told(catalog: Catalog) -> Iterator[tuple[str, bool, list[Delivered]]]:
    """Of each file all that its history says was delivered, and whether it must be there: not what is from before a replay."""
    after = ""
    while page := catalog.files(Filter(), limit=MANY, after=after):
        after = page[-1].file_id
        for record in page:
            before, since = _split(catalog.events(record.file_id))
            yield record.file_id, False, before
            yield record.file_id, record.status is Status.TRANSFERRED, since


def _split(events: Sequence[Event]) -> tuple[list[Delivered], list[Delivered]]:
    """What was delivered before the last replay, and since."""
    last = max((n for n, event in enumerate(events) if event.kind == "replayed"), default=0)
    return _effects(events[:last]), _effects(events[last:])


def _effects(events: Sequence[Event]) -> list[Delivered]:
    return [Delivered(**each) for event in events for each in event.data.get("delivered") or ()]


# -- the last comparison of each destination, for whoever wants to know


def record(data: Path, holdings: Holdings) -> None:
    """Keep it, for `last`."""
    told = {**asdict(holdings), "findings": [asdict(each) for each in holdings.findings[:SHOWN]]}
    keep(_directory(data), holdings.destination, told)


def last(data: Path) -> list[Holdings]:
    """The last comparison of every destination that has been compared, by name."""
    return kept(_directory(data), _holdings)


def forget(data: Path, *, but: Collection[str]) -> None:
    """Forget the comparisons of destinations that the configuration has no more."""
    forget_all_but(_directory(data), but)


def _holdings(told: Mapping[str, Any]) -> Holdings:
    known = {field.name: told[field.name] for field in fields(Holdings)}
    return Holdings(**{**known, "findings": tuple(Finding(**each) for each in told["findings"])})


def _directory(data: Path) -> Path:
    return data / "run" / "destinations"
