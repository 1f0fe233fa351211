"""
The journal in a bucket: `journal/DATE/ULID.ndjson`, one object for each group, with the lines that a local journal has.

A page is put after the objects that it describes and before they are acknowledged. So whatever it says is there, unless it was deleted
since; an object that no page describes was cut off by a crash, and nobody was told that it is kept. Objects that a put finds there
already, since an earlier try was cut off or has done all of it, are described in `again/DATE/ULID.ndjson`: only these may have two lines.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from operator import itemgetter

import orjson

from wharfinger.store.disk import Crew
from wharfinger.store.journal import Entry, Kept, page, shelved
from wharfinger.store.s3.client import Client
from wharfinger.store.versions import Versions

FIRST, MOST = 4, 64
"""Pages that are fetched together: few at first, for who wants only the oldest."""


class Pages:
    """Appends for this process, reads what all have written. Safe to use from several threads."""

    def __init__(self, client: Client, crew: Crew, clock: Callable[[], float] = time.time) -> None:
        self._client, self._crew, self._clock = client, crew, clock
        self._names = Versions(clock)

    def keep(self, lines: Sequence[bytes], *, again: bool = False) -> None:
        """Say that these objects are kept. Durable when it returns; raises StoreError."""
        if lines:
            self._put("again" if again else "journal", [*lines, orjson.dumps({"kept": [1, len(lines)]})])

    def append(self, lines: Sequence[bytes]) -> None:
        """Add other lines than those of objects. Durable when it returns; raises StoreError."""
        self._put("journal", lines)

    def read(self) -> Iterator[Entry]:
        """All that was ever journalled, oldest first, in bounded memory but for what was kept again."""
        repeated = {shelved(each.ref) for _, each in self._timed("again") if isinstance(each, Kept)}
        for _, each in heapq.merge(self._timed("journal"), self._timed("again"), key=itemgetter(0)):
            if isinstance(each, Kept) and shelved(each.ref) in repeated:
                yield replace(each, again=True)
            else:
                yield each

    def _put(self, folder: str, lines: Sequence[bytes]) -> None:
        day = time.strftime("%Y-%m-%d", time.gmtime(self._clock()))
        self._client.write(f"{folder}/{day}/{self._names()}.ndjson", b"".join([line + b"\n" for line in lines]))

    def _timed(self, folder: str) -> Iterator[tuple[float, Entry]]:
        names = (name for name, _ in self._client.list(folder))
        together = FIRST
        while some := [*islice(names, together)]:
            for name, data in zip(some, self._crew.each(self._client.read, some)):
                lines = enumerate(data.splitlines(), 1)
                yield from ((at, entry) for at, entry in page(name, lines) if entry is not None)
            together = min(2 * together, MOST)
