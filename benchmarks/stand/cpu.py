"""CPU time of processes that are not ours to time, from /proc (proc(5), /proc/PID/stat)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def seconds(pid: int) -> float:
    """CPU seconds that `pid` and its descendants have taken so far, those that have ended and were waited for included; 0 without /proc."""
    return sum(_taken(p) for p in tree(pid))


def of(pids: Iterable[int]) -> float:
    """CPU seconds that these processes, without their descendants, have taken so far."""
    return sum(_taken(pid) for pid in pids)


def tree(pid: int) -> list[int]:
    """`pid` and its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if Path("/proc").is_dir() else ():
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        found.append(one := todo.pop())
        todo += children.get(one, ())
    return found


def _taken(pid: int) -> float:
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) * TICK_S if fields else 0.0  # utime, stime, cutime, cstime


def _stat(pid: int) -> list[str]:
    """The fields after the command's name, which may itself hold blanks and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
