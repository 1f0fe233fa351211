"""What this process has open."""

from __future__ import annotations

import os
from pathlib import Path

_HERE = Path("/proc/self/fd")

ARE_TOLD = _HERE.is_dir()
"""Whether the system tells."""


def opened(below: Path) -> list[str]:
    """The files below this directory that are open now."""
    paths = [os.readlink(link) for link in _HERE.iterdir() if link.is_symlink()]
    return [path for path in paths if path.startswith(f"{below}/")]
