"""A worker in the test's own process, until there is nothing left to do."""

from __future__ import annotations

import time

from wharfinger.engine.worker import Worker


def drain(worker: Worker, *, seconds: float = 20.0) -> None:
    """Work until nothing is ready, now or soon."""
    deadline = time.monotonic() + seconds
    idle = 0
    while idle < 3:
        assert time.monotonic() < deadline
        idle = 0 if worker.turn() else idle + 1
        time.sleep(0.02 if idle else 0)
