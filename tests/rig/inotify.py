"""Every name that appears in a directory, as the kernel reports it (inotify(7)): an effect that is made twice is seen twice."""

from __future__ import annotations

import ctypes
import os
import struct
import weakref
from collections import Counter
from pathlib import Path

_MOVED_TO, _CLOSE_WRITE = 0x80, 0x8
_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Counts how often each name was moved into, or written in, one directory since the watch began."""

    def __init__(self, directory: Path) -> None:
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0 or _libc.inotify_add_watch(self._fd, bytes(directory), _MOVED_TO | _CLOSE_WRITE) < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        self._close = weakref.finalize(self, os.close, self._fd)  # the system has few for each user
        self.moved: Counter[str] = Counter()
        self.written: Counter[str] = Counter()

    def read(self) -> None:
        """Take in what has happened so far."""
        while True:
            try:
                data = os.read(self._fd, 1 << 20)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                _, mask, _, length = struct.unpack_from("iIII", data, at)
                name = data[at + 16 : at + 16 + length].rstrip(b"\0").decode()
                assert not mask & 0x4000, "inotify queue overflow"
                (self.moved if mask & _MOVED_TO else self.written)[name] += 1
                at += 16 + length

    def close(self) -> None:
        self._close()
