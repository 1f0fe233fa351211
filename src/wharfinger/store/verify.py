"""Compares what a store's journal says with what lies on the disk."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from wharfinger.model import ObjectRef
from wharfinger.store import disk
from wharfinger.store.journal import Damaged, Deleted, Journal, Kept, located

Progress = Callable[[int, int], None]
"""Called after each object with what was read so far: objects, bytes."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that should not be: an object that was kept and never deleted is `missing`; one that no line describes is `stray`."""

    kind: Literal["missing", "size", "sha256", "unreadable", "stray", "journal"]
    path: str
    message: str
    ref: ObjectRef | None = None


class Verification:
    """
    One comparison; iterate over it for the problems. The store may be in use meanwhile. What a crash cut off before it was
    acknowledged is no problem. Memory grows with the folders and the deleted objects, not with the objects.
    """

    def __init__(
        self, objects: str, journal: Journal, place: Callable[[ObjectRef], str], progress: Progress = lambda *_: None
    ) -> None:
        self._objects, self._journal, self._place, self._progress = objects, journal, place, progress
        self._missing: set[str] = set()  # paths
        self._described: Counter[str] = Counter()  # folder -> objects there that the journal knows
        self._read = [0, 0]  # objects, bytes

    def __iter__(self) -> Iterator[Problem]:
        yield from self._compare()
        unknown = self._unknown()
        if self._missing or unknown:
            yield from self._explain(unknown)

    def _compare(self) -> Iterator[Problem]:
        """Go along the journal, reading every object; note which are missing."""
        for entry, path in located(self._journal.read(), self._place):
            if isinstance(entry, Damaged):
                yield Problem(
                    "journal", entry.path, f"line {entry.line} is damaged: an object may be stray because of it"
                )
            elif isinstance(entry, Deleted):
                self._missing.discard(self._place(entry.ref))
            elif isinstance(entry, Kept) and path is not None:
                self._described[os.path.dirname(path)] += 1
                yield from self._check(entry.ref, path)
            elif isinstance(entry, Kept) and entry.sure:
                self._missing.add(self._place(entry.ref))

    def _check(self, ref: ObjectRef, path: str) -> Iterator[Problem]:
        try:
            with open(path, "rb", buffering=0) as file:
                size, sha256 = disk.digest(file.fileno())
        except FileNotFoundError:
            return  # deleted this moment
        except OSError as exc:
            yield Problem("unreadable", path, f"{ref} cannot be read: {exc.strerror}", ref)
            return
        if size != ref.size:
            yield Problem("size", path, f"{ref} has {size} bytes, but {ref.size} were kept", ref)
        elif sha256 != ref.sha256:
            yield Problem("sha256", path, f"{ref} has the SHA-256 {sha256}, but {ref.sha256} was kept", ref)
        self._read = [self._read[0] + 1, self._read[1] + size]
        self._progress(*self._read)

    def _unknown(self) -> set[str]:
        """The files of every folder that holds another number of them than was described."""
        counted = (
            (folder, names) for folder, _, names in os.walk(self._objects) if len(names) != self._described[folder]
        )
        return {f"{folder}/{name}" for folder, names in counted for name in names}

    def _explain(self, unknown: set[str]) -> Iterator[Problem]:
        """
        Go along the journal again, which by now describes whatever was put or deleted before the folders were listed. Files of several
        processes are in order only as far as their clocks are, so a missing object's lines are counted: it is lost if it was kept
        more often than deleted.
        """
        lives: Counter[str] = Counter()
        lost: dict[str, ObjectRef] = {}
        for entry in self._journal.read():
            if not isinstance(entry, Kept | Deleted):
                continue
            path = self._place(entry.ref)
            if path in self._missing:
                lives[path] += 1 if isinstance(entry, Kept) else -1
            if isinstance(entry, Kept):
                unknown.discard(path)
                if entry.sure and path in self._missing:
                    lost.setdefault(path, entry.ref)
        for path, ref in lost.items():
            if lives[path] > 0:
                yield Problem("missing", path, f"{ref} was kept, but its file is not there", ref)
        for path in sorted(unknown):
            yield Problem("stray", path, "no line of the journal describes this file")
