"""What each process of an installation has: a line to its supervisor, and the signals that end it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from wharfinger.engine.lifeline import Lifeline
from wharfinger.engine.presence import is_present

if TYPE_CHECKING:
    from wharfinger.config.place import Place

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
