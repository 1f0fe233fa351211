"""What each process of an installation has: a line to its supervisor, and the signals that end it."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from wharfinger.engine.lifeline import Lifeline
from wharfinger.engine.presence import is_present

if TYPE_CHECKING:
    from wharfinger.config.place import Place

SERVED = "served.json"
"""Where in `run/` of the data directory `wharf serve` says with what it began."""

ENDS = (signal.SIGTERM, signal.SIGINT)


def lifeline() -> Lifeline:
    """The line to the supervisor that started this process; a process without one has a name of its own."""
    return Lifeline.inherited(os.environ, owner=f"{socket.gethostname()}-{os.getpid()}")


def stop_by(stop: Callable[[], object], line: Lifeline) -> None:
    """Call `stop` at a signal, or when the supervisor is gone."""
    for number in ENDS:
        signal.signal(number, lambda *_: stop())
    line.watch(stop)


def stop_loop_by(stop: Callable[[], object], line: Lifeline) -> None:
    """The same in the loop that runs: `stop` is called by it."""
    import asyncio

    loop = asyncio.get_running_loop()
    for number in ENDS:
        loop.add_signal_handler(number, stop)
    line.watch(lambda: loop.call_soon_threadsafe(stop))


def is_served(settings: Place) -> bool:
    """Whether `wharf serve`, or a worker, runs on this machine with this data directory."""
    return is_present(settings.data / "run")


@dataclass(frozen=True, slots=True)
class Served:
    """The configuration with which the `wharf serve` that runs began."""

    path: str  # of the file, from the root
    sha256: str  # of its bytes
    at: float  # epoch s
    pid: int


def note_served(path: Path, data: Path) -> None:
    """Say, for `served`, that `wharf serve` begins with the file `path` as it is now. Raises OSError."""
    note, partial = data / "run" / SERVED, data / "run" / f"{SERVED}.{os.getpid()}"
    partial.write_bytes(orjson.dumps(asdict(Served(str(path), _sha256(path), time.time(), os.getpid()))))
    partial.replace(note)


def served(place: Place) -> Served | None:
    """With what the `wharf serve` of this data directory began; None where none runs, or it says nothing."""
    if not is_served(place):
        return None
    try:
        found = Served(**orjson.loads((place.data / "run" / SERVED).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return found if _is_there(found.pid) else None


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # it is another user's
        return True
    except (OSError, TypeError, OverflowError):
        return False
    return True


def has_changed(served: Served, path: Path) -> bool:
    """Whether this file is not what `wharf serve` began with."""
    return served.path != str(path.absolute()) or served.sha256 != _sha256(path)


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
