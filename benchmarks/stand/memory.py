"""Memory of processes that are not ours to measure, from /proc (proc(5), /proc/PID/statm)."""

from __future__ import annotations

import os
from pathlib import Path

from stand import cpu

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int) -> dict[int, int]:
    """Bytes that `pid` and each of its living descendants hold in memory (RSS, shared pages included)."""
    return {one: size for one in cpu.tree(pid) if (size := _resident(one))}


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0
