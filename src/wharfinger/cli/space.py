"""Room on the disk that a path is on, or would be on."""

from __future__ import annotations

import shutil
from pathlib import Path


def free_space(path: Path) -> int:
    """Bytes free; of a path that is not there yet, on the disk of the nearest directory above it."""
    path = path.absolute()
    return shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free
