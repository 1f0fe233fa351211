"""Do the store, its journal and the ledger agree?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol, runtime_checkable

from wharfinger.cli.select import Selection
from wharfinger.ledger import MANY, Catalog, Filter
from wharfinger.model import ObjectRef, file_id
from wharfinger.store import Store
from wharfinger.store.verify import Problem, Progress


@runtime_checkable
class Verifiable(Protocol):
    """A store that can compare itself with its journal."""

    def verify(self, progress: Progress) -> Iterable[Problem]:
        """Read every object, and yield whatever does not fit."""
        ...


class Comparison:
    """
    One comparison of every object with the journal, and of every record with its object; iterate over it once for the problems.
    It tells how much was compared so far; `advance` hears of the bytes that were read. Of each problem an id stays in memory.
    """

    def __init__(self, store: Store, catalog: Catalog, advance: Callable[[float], None] = lambda _: None) -> None:
        self._store, self._catalog, self._advance = store, catalog, advance
        self.objects = self.bytes = self.files = 0  # files: records of the ledger

    def __iter__(self) -> Iterator[Problem]:
        known: set[str] = set()
        for problem in self._store.verify(self._note) if isinstance(self._store, Verifiable) else ():
            known.add(_id(problem))
            yield problem
        for files, lost in verify_ledger(self._store, self._catalog):
            self.files += files
            yield from (problem for problem in lost if _id(problem) not in known)

    def _note(self, objects: int, bytes: int) -> None:
        self._advance(bytes - self.bytes)
        self.objects, self.bytes = objects, bytes


def verify_ledger(store: Store, catalog: Catalog, *, most: int | None = None) -> Iterator[tuple[int, list[Problem]]]:
    """
    Look the records (the newest `most`) up in the store, but for purged ones. Yields by the page how many they were, and of those
    whose object is not what they say the problem.
    """
    records = Selection(Filter(is_kept=True)).files(catalog, limit=most)
    while page := list(islice(records, MANY)):
        refs = [record.ref for record in page]
        yield len(page), [_lost(ref, size) for ref, size in zip(refs, store.head(refs)) if size != ref.size]


def _id(problem: Problem) -> str:
    ref = problem.ref
    return file_id(ref.bucket, ref.key, ref.version) if ref else ""


def _lost(ref: ObjectRef, size: int | None) -> Problem:
    if size is None:
        return Problem("missing", "", f"{ref} is in the ledger, but not in the store", ref)
    return Problem("size", "", f"{ref} has {size:,} bytes, but the ledger says {ref.size:,}", ref)
