"""On the path of a process that runs on a watched disk (see faultdisk.py): it marks in the disk's log which crash points it passes."""

from __future__ import annotations

import ctypes

from wharfinger.telemetry import crash

_mark, _point = ctypes.CDLL(None).faultdisk_mark, crash.point


def point(name: str) -> None:
    _mark(name.encode())
    _point(name)


crash.point = point
