"""What a client has open: a file to read, a directory to list. (A file to write is in `writing`.)"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

from wharfinger.errors import NotFound, StoreError
from wharfinger.ledger import Entry

PAGE = 100
"""Names in one answer to READDIR."""


@contextmanager
def custody(entry: Entry) -> Iterator[None]:
    """The tree has this version: where the store has not, it is the server's own trouble, and no client is told where it looked."""
    try:
        yield
    except NotFound as exc:
        error = StoreError(
            f"the bytes of {entry.file_id} are missing: {exc}",
            code="MISSING",
            fix="run `wharf store verify`, which tells whether more are, and bring them back from a backup",
        )
        error.is_internal = True
        raise error from exc


class Reading:
    """A version of a file, open to read; later versions do not change it. `aside` runs its reads in a thread, one by one."""

    def __init__(self, entry: Entry, file: BinaryIO, aside: Callable[..., Awaitable[bytes]]) -> None:
        self.entry = entry
        self._file = file
        self._aside = aside
        self._turn = asyncio.Lock()

    async def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes; none at the end of the file and after it."""
        if offset >= self.entry.size:
            return b""
        async with self._turn:
            return await self._aside(self._read, offset, length)

    async def close(self) -> None:
        """Let go of the file, once the reads that were asked for before are done."""
        async with self._turn:
            self._file.close()

    def _read(self, offset: int, length: int) -> bytes:
        with custody(self.entry):
            self._file.seek(offset)
            return self._file.read(length)


class Directories(Protocol):
    """What has directories to list, in pages; an empty page is the end."""

    def children(self, path: str, *, limit: int, after: str) -> list[Entry]: ...  # noqa: D102


class Listing:
    """A directory, open to list: each page goes on by name where the last one ended."""

    def __init__(self, entry: Entry, directories: Directories) -> None:
        self.entry = entry
        self.turn = asyncio.Lock()  # for pages that are fetched in a thread
        self._directories = directories
        self._after = ""
        self._done = False

    def page(self) -> list[Entry]:
        """The next entries; none when all were given."""
        if self._done:
            return []
        entries = self._directories.children(self.entry.path, limit=PAGE, after=self._after)
        self._done = not entries
        if entries:
            self._after = entries[-1].path.rpartition("/")[2]
        return entries
