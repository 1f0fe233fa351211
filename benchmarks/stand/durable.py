"""The work of one job as a careful program does it alone: copy a file, checked and durable under its name."""

from __future__ import annotations

import hashlib
import os


def copy(source: str, target: str) -> str:
    """`source` again as `target`, appearing whole, its bytes and its name synced. Its SHA-256, in hex."""
    with open(source, "rb") as file:
        data = file.read()
    with open(f"{target}.part", "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{target}.part", target)
    folder = os.open(os.path.dirname(target), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return hashlib.sha256(data).hexdigest()
