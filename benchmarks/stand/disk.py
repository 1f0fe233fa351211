"""
The bare disk: what a custodian's duty costs without network, ledger or process boundary.

Stage, hash, fdatasync and rename each file, and sync the directory once for each group: one thread. Run as a program of its own,
so that it meets the same slower disk as the servers: `disk.py DIRECTORY FILES BYTES GROUP` prints the seconds that all took, and
the median of one fdatasync.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

GROUP = 64  # files that share a directory sync


def rate(directory: Path, files: int, size: int, env: Mapping[str, str], *, group: int = GROUP) -> float:
    """Durable files a second."""
    return files / measured(directory, files, size, env, group=group)[0]


def measured(
    directory: Path, files: int, size: int, env: Mapping[str, str], *, group: int = GROUP
) -> tuple[float, float]:
    """Seconds for all files, and for the fdatasync of one (median)."""
    command = [sys.executable, __file__, *map(str, (directory, files, size, group))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env, timeout=600)
    all_s, sync_s = map(float, done.stdout.split())
    return all_s, sync_s


def keep(directory: Path, files: int, size: int, group: int) -> tuple[float, float]:
    """Keep `files` files of `size` bytes under `directory`, which is made, `group` of them at a time; as `measured`."""
    stage, objects = directory / "stage", directory / "objects"
    stage.mkdir(parents=True)
    objects.mkdir()
    body, syncs = memoryview(os.urandom(size + files)), list[float]()
    folder = os.open(objects, os.O_RDONLY)
    begun = time.perf_counter()
    for start in range(0, files, group):
        for n in range(start, min(start + group, files)):
            syncs.append(_keep_one(f"{stage}/{n}", f"{objects}/{n}", body[n : n + size]))
        os.fsync(folder)
    return time.perf_counter() - begun, median(syncs)


def _keep_one(staged: str, final: str, body: memoryview) -> float:
    fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, body)
    hashlib.sha256(body).hexdigest()
    begun = time.perf_counter()
    os.fdatasync(fd)
    taken = time.perf_counter() - begun
    os.close(fd)
    os.rename(staged, final)
    return taken


if __name__ == "__main__":
    print(*keep(Path(sys.argv[1]), *map(int, sys.argv[2:])))
