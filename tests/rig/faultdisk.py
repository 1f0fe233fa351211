"""A disk that can be watched and can fail, for processes that a test starts (see faultdisk.c); and what a power loss leaves of it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Node = tuple[int, int]  # inode, and how many files had that number before
SOURCE = Path(__file__).with_suffix(".c")


def library(folder: Path) -> Path:
    """The compiled library; skips the test where it cannot be had."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler (apt install gcc)")
    made = folder / "faultdisk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, SOURCE, "-ldl"], check=True)
    return made


def environ(library: Path, *, root: Path, log: Path, **env: str) -> dict[str, str]:
    """What a process, and those that it starts, must find in its environment to be on this disk; each has a log of its own."""
    return {"LD_PRELOAD": str(library), "FAULTDISK_ROOT": str(root), "FAULTDISK_LOG": f"{log}.%", **env}


def run(library: Path, script: Path, *args: str, root: Path, log: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a Python script on this disk: everything below `root` is watched."""
    environment = {
        **os.environ,
        "LD_PRELOAD": str(library),
        "FAULTDISK_ROOT": str(root),
        "FAULTDISK_LOG": str(log),
        "PYTHONPATH": os.pathsep.join([str(SOURCE.parents[1]), *sys.path]),
        **env,
    }
    return subprocess.run([sys.executable, script, *args], env=environment, capture_output=True, text=True, timeout=100)


def mark(text: str) -> None:
    """Called by the script: a line of its own in the log."""
    ctypes.CDLL(None).faultdisk_mark(text.encode())


def fail(call: str, part: str, number: int, after: int = 0) -> None:
    """Called by the script: the next "write", "sync", "rename" or "mkdir" of a path containing `part` fails with this errno."""
    ctypes.CDLL(None).faultdisk_fail(call.encode(), part.encode(), number, after)


@dataclass
class Disk:
    """
    The disk as its power may be cut at any moment, in the worst way that is allowed: a file has the bytes of its last sync, and
    a directory the entries of its last sync.
    """

    root: Node
    log: Path
    live: dict[Node, dict[str, Node]] = field(default_factory=lambda: defaultdict(dict))
    durable: dict[Node, dict[str, Node]] = field(default_factory=lambda: defaultdict(dict))
    folders: set[Node] = field(default_factory=set)
    data: dict[Node, Path] = field(default_factory=dict)
    reused: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def node(self, inode: str) -> Node:
        return int(inode), self.reused[int(inode)]

    def happen(self, line: str) -> None:
        """One line of the log."""
        match line.split(" "):
            case ["data", inode, copy]:
                self.data[self.node(inode)] = Path(f"{self.log}.{copy}")
            case ["names", inode]:
                self.durable[self.node(inode)] = dict(self.live[self.node(inode)])
            case ["file" | "folder" as kind, folder, name, inode]:
                self.reused[int(inode)] += 1
                self.live[self.node(folder)][name] = self.node(inode)
                self.folders |= {self.node(inode)} if kind == "folder" else set()
            case ["add", folder, name, inode]:
                self.live[self.node(folder)][name] = self.node(inode)
            case ["drop", folder, name]:
                self.live[self.node(folder)].pop(name, None)

    def files(self, folder: Node | None = None, path: str = "") -> Iterator[tuple[str, bytes]]:
        """Every file that is there after a power loss now."""
        for name, node in self.durable[folder or self.root].items():
            if node in self.folders:
                yield from self.files(node, f"{path}{name}/")
            else:
                yield f"{path}{name}", self.data[node].read_bytes() if node in self.data else b""


def replay(root: Path, log: Path) -> Iterator[tuple[str, Disk]]:
    """Each line of the log, with the disk as it was after it. `root` was an empty directory when the log began."""
    inode = root.stat().st_ino
    disk = Disk((inode, 0), log)
    for line in log.read_text().splitlines():
        disk.happen(line)
        yield line, disk
