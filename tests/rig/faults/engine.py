"""Faults of a worker."""

from __future__ import annotations

from wharfinger.engine import worker
from wharfinger.engine.lease import Leases


def goes_on_without_its_lease() -> None:
    """A worker that is told of a lost lease does not let go of the run."""
    Leases._drop = lambda *_: None


def leaves_the_rest_asleep() -> None:
    """No worker brings back what somebody was about to wake."""
    worker.wake = lambda *_: iter(())
