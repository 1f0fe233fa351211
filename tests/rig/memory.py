"""What this process takes of the machine's memory (proc(5))."""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc/self")


class Peak:
    """The most that it has taken since this was made: what was before does not count, whatever ran in the same process."""

    def __init__(self) -> None:
        (PROC / "clear_refs").write_text("5")  # the peak is what there is now
        self._before = _peak()

    @property
    def grown(self) -> int:
        """KiB by which the peak is above what there was at first."""
        return _peak() - self._before


def _peak() -> int:
    [line] = [line for line in (PROC / "status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])
