"""Waiting for a fact, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_until(what: str, truth: Callable[[], Any], *, seconds: float = 60.0) -> Any:
    """The first true answer of `truth`; fails with `what` after `seconds`. A question that takes long is asked less often."""
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        if answer := truth():
            return answer
        now = time.monotonic()
        assert now < deadline, f"after {seconds:.0f} s still not: {what}"
        time.sleep(max(0.01, now - asked))
