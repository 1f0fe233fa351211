"""Compares what a store's journal says with what lies there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Protocol

from wharfinger.model import ObjectRef
from wharfinger.store.journal import Damaged, Deleted, Entry, Kept, located

Progress = Callable[[int, int], None]
"""Called after each object with what was read so far: objects, bytes."""

TOGETHER = 32
"""Objects that are read together."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that should not be: an object that was kept and never deleted is `missing`; one that no line describes is `stray`."""

    kind: Literal["missing", "size", "sha256", "unreadable", "stray", "journal"]
    path: str
    message: str
    ref: ObjectRef | None = None


class Shelf(Protocol):
    """Where a store's objects lie, as a comparison sees it. A place has a folder: what stands before its last slash."""

    def place(self, ref: ObjectRef) -> str:
        """Where this object would lie."""
        ...

    def present(self, places: Collection[str]) -> Collection[str]:
        """Which of these have their object."""
        ...

    def digests(self, places: Sequence[str]) -> Iterator[tuple[int, str] | Exception | None]:
        """Of each place size and SHA-256 (hex), the error where it cannot be read, None where nothing is there any more."""
        ...

    def folders(self) -> Iterator[tuple[str, list[str]]]:
        """Every folder with the places in it, as far as something was put there that must have a line by now."""
        ...


class Verification:
    """
    One comparison; iterate over it for the problems. The store may be in use meanwhile. What a crash cut off before it was
    acknowledged is no problem. Memory grows with the folders and the deleted objects, not with the objects.
    """

    def __init__(self, shelf: Shelf, read: Callable[[], Iterable[Entry]], progress: Progress = lambda *_: None) -> None:
        self._shelf, self._entries, self._progress = shelf, read, progress
        self._missing: set[str] = set()  # places
        self._described: Counter[str] = Counter()  # folder -> objects there that the journal knows
        self._read = [0, 0]  # objects, bytes

    def __iter__(self) -> Iterator[Problem]:
        yield from self._compare()
        unknown = self._unknown()
        if self._missing or unknown:
            yield from self._explain(unknown)

    def _compare(self) -> Iterator[Problem]:
        """Go along the journal, reading every object; note which are missing."""
        entries = located(self._entries(), self._shelf.place, self._shelf.present)
        while batch := [*islice(entries, TOGETHER)]:
            whole: list[tuple[ObjectRef, str]] = []
            for entry, place in batch:
                if isinstance(entry, Damaged):
                    text = f"line {entry.line} is damaged: an object may be stray because of it"
                    yield Problem("journal", entry.path, text)
                elif isinstance(entry, Deleted):
                    self._missing.discard(self._shelf.place(entry.ref))
                elif isinstance(entry, Kept) and place is not None:
                    self._described[_folder(place)] += 1
                    whole.append((entry.ref, place))
                elif isinstance(entry, Kept) and entry.sure:
                    self._missing.add(self._shelf.place(entry.ref))
            yield from self._check(whole)

    def _check(self, objects: Sequence[tuple[ObjectRef, str]]) -> Iterator[Problem]:
        digests = self._shelf.digests([place for _, place in objects])
        for (ref, place), digest in zip(objects, digests):
            if isinstance(digest, Exception):
                yield Problem("unreadable", place, f"{ref} cannot be read: {digest}", ref)
            elif digest is not None:  # else deleted this moment
                yield from self._judge(ref, place, *digest)

    def _judge(self, ref: ObjectRef, place: str, size: int, sha256: str) -> Iterator[Problem]:
        if size != ref.size:
            yield Problem("size", place, f"{ref} has {size} bytes, but {ref.size} were kept", ref)
        elif sha256 != ref.sha256:
            yield Problem("sha256", place, f"{ref} has the SHA-256 {sha256}, but {ref.sha256} was kept", ref)
        self._read = [self._read[0] + 1, self._read[1] + size]
        self._progress(*self._read)

    def _unknown(self) -> set[str]:
        """The places of every folder that holds another number of them than was described."""
        counted = (places for folder, places in self._shelf.folders() if len(places) != self._described[folder])
        return {place for places in counted for place in places}

    def _explain(self, unknown: set[str]) -> Iterator[Problem]:
        """
        Go along the journal again, which by now describes whatever was put or deleted before the folders were listed. Files of several
        processes are in order only as far as their clocks are, so a missing object's lines are counted: it is lost if it was kept
        more often than deleted. Several lines on one that was put again count as one: was it deleted between them and is lost since, that
        is not told.
        """
        lives: Counter[str] = Counter()
        lost: dict[str, ObjectRef] = {}
        for entry in self._entries():
            if not isinstance(entry, Kept | Deleted):
                continue
            place = self._shelf.place(entry.ref)
            if place in self._missing and not (isinstance(entry, Kept) and entry.again and place in lost):
                lives[place] += 1 if isinstance(entry, Kept) else -1
            if isinstance(entry, Kept):
                unknown.discard(place)
                if entry.sure and place in self._missing:
                    lost.setdefault(place, entry.ref)
        for place, ref in lost.items():
            if lives[place] > 0:
                yield Problem("missing", place, f"{ref} was kept, but its file is not there", ref)
        for place in sorted(unknown):
            yield Problem("stray", place, "no line of the journal describes this file")


def _folder(place: str) -> str:
    return place.rpartition("/")[0]
