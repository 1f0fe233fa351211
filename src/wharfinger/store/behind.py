"""Large files on their way to the disk: written and hashed by threads, while the caller receives what comes next."""

from __future__ import annotations

import errno
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Protocol

PIECE = 512 << 10
"""Bytes that a thread writes and hashes at once: so many that it seldom has to ask for Python's interpreter lock."""

MOST = 4
"""Pieces of one file under way before its sender should wait."""

FILES = 32
"""Files at a time: together with `PIECE` and `MOST` the bound of the memory that uploads take."""

THREADS = 2

_STRIDE = 64 << 20  # bytes read back before other files have their turn


class Hash(Protocol):
    """One of hashlib's."""

    def update(self, data: memoryview | bytes, /) -> None: ...  # noqa: D102


class Scribes:
    """The threads of a process, and the files that they write. They begin with the first large file."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="scribe")
        self._files: set[Behind] = set()

    def begin(self, fd: int, at: int, hash: Hash, hashed: int) -> Behind | None:
        """
        Who writes a file's bytes from `at` on, and hashes them and what is there before, of which `hash` covers the first `hashed`
        bytes. None if all are busy.
        """
        if len(self._files) >= FILES:
            return None
        behind = Behind(self, fd, at, hash, hashed)
        self._files.add(behind)
        return behind

    def end(self, behind: Behind) -> None:
        """This one has nothing more to do."""
        self._files.discard(behind)


class Behind:
    """
    Bytes that continue a file, in order, from one caller's thread. An OSError that the disk answered is raised by a later `add` or by
    `settle`; nothing more is written then. `done` and `hashed` (bytes of the file) say how far it came.
    """

    __slots__ = (
        "_at", "_buffer", "_fd", "_filled", "_has_failed", "_hash", "_is_idle", "_jobs", "_lock", "_queue", "_scribes", "done", "hashed",
    )  # fmt: skip

    def __init__(self, scribes: Scribes, fd: int, at: int, hash: Hash, hashed: int) -> None:
        self.done, self.hashed = at, hashed
        self._scribes, self._fd, self._at, self._hash = scribes, fd, at, hash
        self._buffer, self._filled = _buffer(), 0
        self._jobs: deque[Future[memoryview]] = deque()  # the caller's; each answers its buffer
        self._queue: deque[tuple[int, memoryview, int, Future[memoryview]]] = deque()  # the threads'
        self._lock = Lock()
        self._is_idle, self._has_failed = True, False

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
                self._buffer = self._jobs.popleft().result() if self._jobs[0].done() else _buffer()

    @property
    def backlog(self) -> Future[memoryview] | None:
        """What the sender should wait for before the next `add`, if too much is under way."""
        return self._jobs[0] if len(self._jobs) > MOST and not self._jobs[0].done() else None

    def settle(self) -> None:
        """Return when all is written and hashed. Nothing follows."""
        if self._filled:
            self._hand_over()
        try:
            while self._jobs:
                self._jobs.popleft().result()
        finally:
            self._scribes.end(self)

    def _hand_over(self) -> None:
        job: Future[memoryview] = Future()
        self._jobs.append(job)
        piece = (self._at, self._buffer, self._filled, job)
        self._at += self._filled
        self._filled = 0
        with self._lock:
            self._queue.append(piece)
            if self._is_idle:
                self._is_idle = False
                self._scribes.threads.submit(self._work)

    def _work(self) -> None:
        """One turn of a thread; other files have theirs in between."""
        at, buffer, size, job = self._queue[0]
        try:
            if not self._has_failed:
                self._read(min(at, self.hashed + _STRIDE))
                if self.hashed == at:
                    self._write(at, buffer[:size])
        except OSError as exc:
            self._has_failed = True
            self._queue.popleft()
            job.set_exception(exc)
        else:
            if self._has_failed or self.hashed > at:
                self._queue.popleft()
                job.set_result(buffer)
        with self._lock:
            self._is_idle = not self._queue
            if self._queue:
                self._scribes.threads.submit(self._work)

    def _read(self, end: int) -> None:
        """Hash what was there before, up to `end`."""
        while self.hashed < end:
            if not (data := os.pread(self._fd, min(PIECE, end - self.hashed), self.hashed)):
                raise OSError(errno.EIO, f"the file ends at {self.hashed} of {self.done} bytes")
            self._hash.update(data)
            self.hashed += len(data)

    def _write(self, at: int, data: memoryview) -> None:
        done = 0
        while done < len(data):
            done += os.pwrite(self._fd, data[done:], at + done)
        self._hash.update(data)
        self.done = self.hashed = at + done


def _buffer() -> memoryview:
    return memoryview(bytearray(PIECE))
