"""A second filesystem to test with."""

from __future__ import annotations

import tempfile
from pathlib import Path

_SHARED = Path("/dev/shm")

ANOTHER = _SHARED if _SHARED.is_dir() and _SHARED.stat().st_dev != Path(tempfile.gettempdir()).stat().st_dev else None
"""A directory that is not on the disk of temporary files; None where this machine has none."""
