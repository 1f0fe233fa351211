"""Room on the disks that paths are on, or would be on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path


def free_space(path: Path) -> int:
    """Bytes free; of a path that is not there yet, on the disk of the nearest directory above it."""
    return shutil.disk_usage(_nearest(path)).free


def disks(*paths: Path) -> Mapping[Path, int]:
    """Bytes free on the disk of each path; a disk is named once, by the first path that is on it."""
    first = {_nearest(path).stat().st_dev: path for path in reversed(paths)}
    return {path: free_space(path) for path in paths if path in first.values()}


def _nearest(path: Path) -> Path:
    path = path.absolute()
    return next(each for each in (path, *path.parents) if each.exists())
