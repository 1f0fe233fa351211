"""Files to send."""

from __future__ import annotations

import os
from pathlib import Path


def made(directory: Path, files: int, size: int) -> Path:
    """`directory`, new, with so many files of random bytes."""
    directory.mkdir()
    for n in range(files):
        with (directory / f"claims_{n:06}.csv").open("wb") as file:
            for start in range(0, size, 1 << 20):
                file.write(os.urandom(min(1 << 20, size - start)))
    return directory
