"""A slower disk: every fsync, fdatasync and syncfs of the processes under test takes longer by a given time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def environment(work: Path, delay_ms: float) -> dict[str, str]:
    """The environment of a process whose syncs shall take `delay_ms` longer; ours unchanged where that is 0."""
    if not delay_ms:
        return dict(os.environ)
    return os.environ | {"LD_PRELOAD": str(_built(work)), "WHARF_SYNC_DELAY_US": str(int(delay_ms * 1000))}


def _built(work: Path) -> Path:
    library = work / "delay.so"
    if not library.exists():
        source = Path(__file__).with_name("delay.c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library
