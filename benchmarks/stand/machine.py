"""Where and with what a benchmark ran."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import apsw

HERE = Path(__file__).resolve().parents[2]


def facts(work: Path) -> dict[str, str]:
    """The machine, the disk under `work`, and the versions that matter, in words."""
    return {
        "processor": f"{_field('/proc/cpuinfo', 'model name') or platform.processor()}, {os.cpu_count()} cores",
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0] or 0) / 1048576:.0f} GiB",
        "disk": _filesystem(work),
        "system": f"{platform.system()} {platform.release()}",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {_version(name)}" for name in ("asyncssh", "uvloop", "apsw", "paramiko")),
        "sqlite": apsw.sqlite_lib_version(),
        "openssh": said("ssh", "-V"),
        "lftp": said("lftp", "--version").removeprefix("LFTP | Version ").split(" |")[0],
        "rclone": said("rclone", "version"),
        "commit": said("git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"),
    }


def said(*command: str) -> str:
    """The first line that a command says about itself; "not installed" where there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return "not installed"
    return (done.stdout or done.stderr).strip().split("\n")[0]


def _field(path: str, name: str) -> str:
    try:
        found = re.search(rf"^{name}\s*:\s*(.+)$", Path(path).read_text(), re.MULTILINE)
    except OSError:
        return ""
    return found[1] if found else ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "-"


def _filesystem(path: Path) -> str:
    """The mount that holds `path`: its type and device (proc(5), /proc/self/mounts)."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    under = [m for m in mounts if path.resolve().is_relative_to(m[1])]
    device, _, kind, *_ = max(under, key=lambda m: len(m[1]))
    return f"{kind} on {device}"
