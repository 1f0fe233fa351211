"""Whether somebody serves here: whoever does holds a shared lock in the data directory, which ends with its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wharfinger.errors import UsageError

NAME = "serving.lock"
SUPERVISOR = "supervisor.lock"


@contextmanager
def present(directory: Path) -> Iterator[None]:
    """While the block lasts, `is_present` says so. Raises OSError where the directory cannot be written."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(directory / NAME, "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """While the block lasts nobody else may enter it. Raises UsageError where somebody has, OSError as `present` does."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(directory / SUPERVISOR, "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            lock.seek(0)
            raise UsageError(
                f"process {lock.read()} serves with the data directory {directory.parent} already",
                code="SERVES_ALREADY",
                fix="stop it, or give this one a `data` of its own",
            ) from exc
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def is_present(directory: Path) -> bool:
    """Whether a process of this machine is in such a block."""
    try:
        fd = os.open(directory / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
