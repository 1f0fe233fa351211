"""The scratch directory of a worker: locked while its process lives, so that others know what may be cleaned."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

OWNER = "owner"
"""A file in each worker's directory; its lock ends with the process, however that ends."""


class Workroom:
    """One directory for one process. Nothing in it is of any use to another."""

    def __init__(self, path: Path) -> None:
        """Take the new and empty directory `path`."""
        self.path = os.path.realpath(path)
        self._owner = os.open(f"{self.path}/.{OWNER}", os.O_CREAT | os.O_WRONLY, 0o600)
        fcntl.flock(self._owner, fcntl.LOCK_EX)
        (path / f".{OWNER}").rename(path / OWNER)  # visible only once it is locked

    def clear(self) -> None:
        """Remove what the runs of a claim have left."""
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name != OWNER:
                    shutil.rmtree(entry.path, ignore_errors=True)

    def close(self) -> None:
        """Remove the directory and let go of it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._owner)


FORGOTTEN_S = 86_400.0
"""A directory without an owner, and without a change for so long, was left by something that crashed."""


def clean(folder: Path | str, *, now: float) -> int:
    """Remove what the dead have left in `folder`; how many directories that was. `now` is epoch s."""
    removed = 0
    for path in Path(folder).iterdir():
        with contextlib.suppress(OSError):  # another worker was faster, or it is not ours to remove
            if path.is_dir() and _is_left(path, now):
                shutil.rmtree(path, ignore_errors=True)
                removed += 1
    return removed


def _is_left(path: Path, now: float) -> bool:
    """Whether its owner is dead, or it has none and nothing has changed in it for long."""
    try:
        owner = os.open(path / OWNER, os.O_WRONLY)
    except FileNotFoundError:
        return os.lstat(path).st_mtime < now - FORGOTTEN_S
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False  # its process lives
    finally:
        os.close(owner)
    return True
