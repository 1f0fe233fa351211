"""Versions: ULIDs that grow with every call in a process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from threading import Lock

from wharfinger.model import base32, is_ulid

_ENTROPY = 80  # bits below the 48 of time (github.com/ulid/spec)
_TO_PYTHON = str.maketrans("ABCDEFGHJKMNPQRSTVWXYZ", "ABCDEFGHIJKLMNOPQRSTUV")  # Crockford's digits to int(text, 32)'s


class Versions:
    """
    Call it for a fresh version, greater than `after`, which another process made. Safe to call from several threads. The
    versions of two instances differ by 79 random bits, drawn once: an instance must not be shared over a fork.
    """

    def __init__(self, clock: Callable[[], float] = time.time, *, after: str = "") -> None:
        self._clock = clock
        self._entropy = int.from_bytes(os.urandom(_ENTROPY // 8)) >> 1  # room to count on
        self._last = _number(after) + self._entropy if is_ulid(after) else 0  # two that go on from one differ too
        self._lock = Lock()

    def __call__(self) -> str:
        """A ULID greater than every one before it, also within one millisecond and when the clock goes back."""
        now = int(self._clock() * 1000)
        with self._lock:
            self._last = max(self._last, now << _ENTROPY | self._entropy) + 1
            return base32(self._last, 26)


def time_of(version: str) -> float:
    """When this ULID was made, epoch s; 0.0 for a text that is none."""
    return _number(version[:10]) / 1000 if is_ulid(version[:26]) else 0.0


def _number(digits: str) -> int:
    return int(digits.translate(_TO_PYTHON), 32)
