"""The scratch directory of a worker: locked while its process lives, so that others know what may be cleaned."""

from __future__ import annotations

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


def clean(folder: Path | str) -> int:
    """Remove the directories of dead workers in `folder`; how many there were. Others than workers' are left alone."""
    return sum(_clean(path) for path in Path(folder).iterdir())


def _clean(path: Path) -> bool:
    try:
        owner = os.open(path / OWNER, os.O_WRONLY)
    except OSError:
        return False
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False  # its process lives
    else:
        shutil.rmtree(path, ignore_errors=True)
        return True
    finally:
        os.close(owner)
