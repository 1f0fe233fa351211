"""
The store's own account of itself: `journal/DATE/ULID.ndjson`, one file for each process and day, one JSON object a line.

* `{"bucket", "key", "version", "size", "sha256", "at", "about"}`: an object, written before it gets its name
* `{"kept": [first, last], "void": [...]}`: the objects of these lines (counted from 1) are durable under their names, but for
  the void ones, which were refused or were there before. Not synced: what no `kept` names was cut off by a crash, or by it
  lost this line alone; the object's file tells which
* `{"deleted": {"bucket", "key", "version"}, "at"}`: written before the object's file is removed
* `{"note": {...}, "at"}`: anything else that a rebuilt ledger must know

A file is only ever appended to, by the process that made it, and never again after a failed write: a torn line is the last.
"""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from threading import Lock
from typing import Any

import orjson

from wharfinger.errors import NameRefused
from wharfinger.model import ObjectRef, file_id
from wharfinger.store import Listed
from wharfinger.store.disk import make_directories, refusal, sync, sync_directory, write_all
from wharfinger.store.versions import Versions, time_of

FEW, MANY = 16, 256
"""Entries whose objects are looked up together: few at first, for who wants only the oldest."""


@dataclass(frozen=True, slots=True)
class Kept:
    """
    An object line. `sure` is False where a crash may have come before the object had its name, `again` is True where another
    line may describe it too.
    """

    listed: Listed
    sure: bool
    again: bool = False

    @property
    def ref(self) -> ObjectRef:
        """Which object."""
        return self.listed.ref


@dataclass(frozen=True, slots=True)
class Deleted:
    """An object was removed on purpose, or was about to be."""

    ref: ObjectRef


@dataclass(frozen=True, slots=True)
class Noted:
    """What `Store.note` was given."""

    note: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Damaged:
    """A line that is no JSON, though whole lines follow it."""

    path: str
    line: int  # counted from 1


Entry = Kept | Deleted | Noted | Damaged


def shelved(ref: ObjectRef) -> str:
    """Where an object lies below `objects/`: under its file_id, whose beginning is its folder. Never a partner's name."""
    name = file_id(ref.bucket, ref.key, ref.version)
    return f"{name[:5]}/{name[5:7]}/{name}"


def object_line(ref: ObjectRef, about: Mapping[str, Any], at: float) -> bytes:
    """The line that describes an object. Raises NameRefused where `about` or a name is no JSON."""
    line = {
        "bucket": ref.bucket,
        "key": ref.key,
        "version": ref.version,
        "size": ref.size,
        "sha256": ref.sha256,
        "at": at,
        "about": about,
    }
    try:
        return orjson.dumps(line)
    except TypeError as exc:
        text = f"{str(ref)!a} cannot be described in the journal: {exc}"
        raise NameRefused(text, fix="send it under a name that is valid UTF-8") from exc


def deleted_line(ref: ObjectRef, at: float) -> bytes:
    """The line that tells a deletion from a loss."""
    return orjson.dumps({"deleted": {"bucket": ref.bucket, "key": ref.key, "version": ref.version}, "at": at})


def note_line(note: Mapping[str, Any], at: float) -> bytes:
    """The line of a note."""
    return orjson.dumps({"note": note, "at": at})


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that were appended together: numbers first to last of a file."""

    path: str
    first: int
    last: int


class Journal:
    """Appends for this process, reads what all have written. Safe to use from several threads."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self._root = str(root)
        self._clock = clock
        self._names = Versions(clock)
        self._lock = Lock()
        self._day, self._path, self._fd, self._lines = "", "", -1, 0

    def append(self, lines: Sequence[bytes]) -> Group:
        """Add these lines (without their newlines); they are durable when it returns. Raises StoreError: then none counts."""
        with self._lock:
            try:
                self._turn_page()
                write_all(self._fd, b"".join([line + b"\n" for line in lines]))
                sync(self._fd)
            except OSError as exc:
                self._retire()
                raise refusal(exc, f"the journal in {self._root} could not be written") from exc
            self._lines += len(lines)
            return Group(self._path, self._lines - len(lines) + 1, self._lines)

    def confirm(self, group: Group, void: Sequence[int] = ()) -> None:
        """Say that the objects of `group` have their names, but for those whose place in it (from 0) is `void`. Never raises."""
        kept: dict[str, list[int]] = {"kept": [group.first, group.last]}
        if void:
            kept["void"] = [group.first + n for n in void]
        with self._lock:
            if self._path != group.path:
                return
            try:
                write_all(self._fd, orjson.dumps(kept) + b"\n")
                self._lines += 1
            except OSError:  # the objects are safe without it, and the next group meets the same disk and reports it
                self._retire()

    def read(self) -> Iterator[Entry]:
        """All that was ever journalled, oldest first, in bounded memory; what is appended meanwhile may or may not come."""
        pages = heapq.merge(*[page(path, _lines(path)) for path in self._pages()], key=itemgetter(0))
        return (entry for _, entry in pages if entry is not None)

    def close(self) -> None:
        """Close this process's file; the next append begins another."""
        with self._lock:
            self._retire()

    def _turn_page(self) -> None:
        """Open today's file of this process, if it is not open."""
        now = self._clock()
        day = time.strftime("%Y-%m-%d", time.gmtime(now))
        if day == self._day:
            return
        self._retire()
        folder = f"{self._root}/{day}"
        make_directories(folder, below=self._root)
        path = f"{folder}/{self._names()}.ndjson"
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        self._day, self._path = day, path
        sync_directory(folder)

    def _retire(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._day, self._path, self._fd, self._lines = "", "", -1, 0

    def _pages(self) -> list[str]:
        with os.scandir(self._root) as days:
            folders = [day.path for day in days if day.is_dir()]
        return sorted(
            f"{folder}/{name}" for folder in folders for name in os.listdir(folder) if name.endswith(".ndjson")
        )


def located(
    entries: Iterable[Entry], place: Callable[[ObjectRef], str], present: Callable[[Collection[str]], Collection[str]]
) -> Iterator[tuple[Entry, str | None]]:
    """
    The entries with the object's place, None where it is not there; an object that is there comes once. `present` answers which of
    many places have their object.
    """
    seen: set[str] = set()  # only what may come again: cut off and repeated, or deleted and put again
    entries, together = iter(entries), FEW
    while batch := [*islice(entries, together)]:
        together = min(2 * together, MANY)
        places = [place(each.ref) if isinstance(each, Kept | Deleted) else "" for each in batch]
        there = present({*places} - {"", *seen})
        for entry, at in zip(batch, places):
            if at in seen:
                continue
            if at in there and not (isinstance(entry, Kept) and entry.sure and not entry.again):
                seen.add(at)
            yield entry, at if at in there else None


def page(path: str, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[float, Entry | None]]:
    """The entries of one file (its numbered lines) with their times; first its own, so that a merge opens it only when it comes up."""
    yield time_of(os.path.basename(path)), None
    waiting: dict[int, Listed] = {}
    damaged: list[int] = []
    at = 0.0
    for n, line in lines:
        try:
            said = orjson.loads(line)
            at = float(said.get("at", at))
            entries = _entries(said, n, waiting)
        except (AttributeError, KeyError, TypeError, ValueError):
            damaged.append(n)  # harmless in the last line: it was torn by a crash, and nobody was told that it counts
            continue
        yield from ((at, Damaged(path, bad)) for bad in damaged)
        damaged.clear()
        yield from ((entry.listed.at if isinstance(entry, Kept) else at, entry) for entry in entries)
    yield from ((each.at, Kept(each, sure=False)) for each in waiting.values())


def _entries(said: Mapping[str, Any], n: int, waiting: dict[int, Listed]) -> list[Entry]:
    """What line `n` says; an object's waits for the line that confirms it."""
    if "bucket" in said:
        waiting[n] = _listed(said)
    elif "kept" in said:
        return [Kept(listed, sure=True) for listed in _confirmed(said, waiting)]
    elif "deleted" in said:
        return [Deleted(ObjectRef(**said["deleted"], size=0, sha256=""))]
    elif "note" in said:
        return [Noted(said["note"])]
    return []


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    try:
        with open(path, "rb") as lines:
            yield from enumerate(lines, 1)
    except OSError as exc:
        raise refusal(exc, f"the journal {path} could not be read") from exc


def _confirmed(said: Mapping[str, Any], waiting: dict[int, Listed]) -> list[Listed]:
    first, last = said["kept"]
    void = said.get("void", ())
    group = [n for n in waiting if first <= n <= last]
    confirmed = [waiting[n] for n in group if n not in void]
    for n in group:
        del waiting[n]
    return confirmed


def _listed(said: Mapping[str, Any]) -> Listed:
    ref = ObjectRef(said["bucket"], said["key"], said["version"], said["size"], said["sha256"])
    return Listed(ref, float(said["at"]), said["about"])
