"""An object as a file: fetched in pieces, the next one ahead of whoever reads in order."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import BinaryIO, cast

from wharfinger.errors import Corrupt

PIECE = 4 << 20
"""Bytes that are fetched at once; an open file holds two pieces at the most."""

Fetch = Callable[[int, int], bytes]
"""The bytes [start, end) of the object. Raises StoreError."""


def reader(fetch: Fetch, size: int, ahead: Executor) -> BinaryIO:
    """A file of `size` bytes, seekable. Its first piece is fetched at once: raises StoreError where the object cannot be read."""
    raw = _Reader(fetch, size, ahead)
    raw.piece(0)
    return cast(BinaryIO, io.BufferedReader(raw, 1 << 16))


class _Reader(io.RawIOBase):
    def __init__(self, fetch: Fetch, size: int, ahead: Executor) -> None:
        self._fetch, self._size, self._ahead = fetch, size, ahead
        self._at = 0
        self._held: dict[int, bytes] = {}  # the piece that was read last, by its number
        self._coming: dict[int, Future[bytes]] = {}  # the one behind it

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"a place before the beginning: {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        if self._at >= self._size:
            return 0
        number, start = divmod(self._at, PIECE)
        data = memoryview(self.piece(number))[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def piece(self, number: int) -> bytes:
        """This piece; where the one before it was read last, the next is fetched already."""
        if number in self._held or not self._size:
            return self._held.get(number, b"")
        in_order = number - 1 in self._held
        coming = self._coming.pop(number, None)
        data = coming.result() if coming else self._get(number)
        self._held = {number: data}
        for future in self._coming.values():
            future.cancel()
        self._coming.clear()
        if in_order and (number + 1) * PIECE < self._size:
            self._coming[number + 1] = self._ahead.submit(self._get, number + 1)
        return data

    def close(self) -> None:
        for future in self._coming.values():
            future.cancel()
        self._coming.clear()
        self._held.clear()
        super().close()

    def _get(self, number: int) -> bytes:
        start, end = number * PIECE, min((number + 1) * PIECE, self._size)
        data = self._fetch(start, end)
        if len(data) != end - start:
            raise Corrupt(
                f"an object of {self._size} bytes gave {len(data)} of the bytes {start} to {end}",
                fix="run `wharf store verify`, then send or replay the file again",
            )
        return data
