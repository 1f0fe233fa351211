"""Do the store, its journal and the ledger agree?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, runtime_checkable

from wharfinger.cli.select import Selection
from wharfinger.ledger import MANY, Catalog, Filter
from wharfinger.model import ObjectRef
from wharfinger.store import Store
from wharfinger.store.verify import Problem, Progress


@runtime_checkable
class Verifiable(Protocol):
    """A store that can compare itself with its journal."""

    def verify(self, progress: Progress) -> Iterable[Problem]:
        """Read every object, and yield whatever does not fit."""
        ...


@dataclass(frozen=True, slots=True)
class Verified:
    """What was compared, and what was wrong."""

    objects: int
    bytes: int
    files: int  # records of the ledger
    problems: tuple[Problem, ...]


def verify(store: Store, catalog: Catalog, advance: Callable[[float], None]) -> Verified:
    """Compare every object with the journal, and every record with its object. `advance` hears of the bytes that were read."""
    read = [0, 0]

    def note(objects: int, bytes: int) -> None:
        advance(bytes - read[1])
        read[:] = objects, bytes

    problems = list(store.verify(note)) if isinstance(store, Verifiable) else []
    files, lost = verify_ledger(store, catalog)
    known = {problem.ref for problem in problems}
    return Verified(read[0], read[1], files, (*problems, *(problem for problem in lost if problem.ref not in known)))


def verify_ledger(store: Store, catalog: Catalog, *, most: int | None = None) -> tuple[int, list[Problem]]:
    """How many records (of the newest `most`) were looked up in the store, and those whose object is not what they say."""
    files, problems = 0, []
    records = Selection(Filter()).files(catalog, limit=most)
    while page := list(islice(records, MANY)):
        refs = [record.ref for record in page]
        problems += [_lost(ref, size) for ref, size in zip(refs, store.head(refs)) if size != ref.size]
        files += len(page)
    return files, problems


def _lost(ref: ObjectRef, size: int | None) -> Problem:
    if size is None:
        return Problem("missing", "", f"{ref} is in the ledger, but not in the store", ref)
    return Problem("size", "", f"{ref} has {size:,} bytes, but the ledger says {ref.size:,}", ref)
