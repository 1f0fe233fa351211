"""A large file's bytes on their way to the disk: written and hashed by a thread, while the caller receives the next ones."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Executor, Future
from typing import Protocol

PIECE = 512 << 10
"""Bytes that the thread writes and hashes at once: so many that it seldom has to ask for Python's interpreter lock."""

MOST = 4
"""Pieces under way; with more, the caller waits."""


class Hash(Protocol):
    """One of hashlib's."""

    def update(self, data: memoryview, /) -> None: ...  # noqa: D102


class Behind:
    """
    Bytes that continue a file from `at`, in order; `thread` runs one job after another. Once `add` or `settle` has raised an
    OSError nothing more is written. `done` says how far the file goes.
    """

    __slots__ = ("_at", "_buffer", "_fd", "_filled", "_hash", "_jobs", "_thread", "done")

    def __init__(self, fd: int, at: int, hash: Hash, thread: Executor) -> None:
        self.done = at  # bytes of the file that are written and hashed
        self._fd, self._at, self._hash, self._thread = fd, at, hash, thread
        self._buffer, self._filled = _buffer(), 0
        self._jobs: deque[Future[memoryview]] = deque()

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """Take these bytes, which come next."""
        rest = memoryview(data)
        while rest:
            piece, rest = rest[: PIECE - self._filled], rest[PIECE - self._filled :]
            end = self._filled + len(piece)
            self._buffer[self._filled : end] = piece
            self._filled = end
            if end == PIECE:
                self._hand_over()
                is_free = len(self._jobs) > MOST or self._jobs[0].done()
                self._buffer = self._jobs.popleft().result() if is_free else _buffer()

    def settle(self) -> None:
        """Return when all is written and hashed."""
        if self._filled:
            self._hand_over()
        while self._jobs:
            self._buffer = self._jobs.popleft().result()

    def _hand_over(self) -> None:
        self._jobs.append(self._thread.submit(self._write, self._at, self._buffer, self._filled))
        self._at += self._filled
        self._filled = 0

    def _write(self, at: int, buffer: memoryview, size: int) -> memoryview:
        """Answers the buffer, for other bytes."""
        if self.done == at:  # else what comes before it failed
            data, done = buffer[:size], 0
            while done < size:
                done += os.pwrite(self._fd, data[done:], at + done)
            self._hash.update(data)
            self.done = at + size
        return buffer


def _buffer() -> memoryview:
    return memoryview(bytearray(PIECE))
