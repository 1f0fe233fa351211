"""Which bytes of a file have been written: an interval list."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from wharfinger.errors import StoreError

MOST = 10_000
"""Separate intervals one file may have; writes that are scattered further are refused before they cost memory and time."""


class Extents:
    """A set of byte positions, kept as sorted, separate, non-touching intervals [start, end)."""

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Add [start, end); empty is fine. Raises StoreError beyond `MOST` intervals."""
        ends = self._ends
        if ends and ends[-1] == start < end:  # nearly every write continues the last one
            ends[-1] = end
        elif start < end:
            self._merge(start, end)

    def cut(self, size: int) -> None:
        """Forget everything from `size` on."""
        keep = bisect_left(self._starts, size)
        del self._starts[keep:], self._ends[keep:]
        if keep and self._ends[-1] > size:
            self._ends[-1] = size

    @property
    def reach(self) -> int:
        """The end of the interval that begins at 0; 0 if there is none."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0

    def gaps(self, end: int, start: int = 0) -> list[tuple[int, int]]:
        """The intervals of [start, end) that are missing here."""
        missing = []
        for begin, stop in self:
            if begin >= end:
                break
            if begin > start:
                missing.append((start, begin))
            start = max(start, stop)
        return [*missing, (start, end)] if start < end else missing

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends)

    def _merge(self, start: int, end: int) -> None:
        first = bisect_left(self._ends, start)  # the first interval that touches [start, end) or lies behind it
        after = bisect_right(self._starts, end)  # the first one wholly behind it
        if first < after:
            start, end = min(start, self._starts[first]), max(end, self._ends[after - 1])
        elif len(self._starts) >= MOST:
            raise StoreError(
                f"more than {MOST} separate pieces were written", code="TOO_SCATTERED", fix="write the file in order"
            )
        self._starts[first:after], self._ends[first:after] = [start], [end]
