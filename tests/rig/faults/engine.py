"""Faults of a worker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from wharfinger.engine import purge, worker
from wharfinger.engine.execution import Execution
from wharfinger.engine.lease import Leases
from wharfinger.ledger.postgres.purge import PostgresPurges
from wharfinger.ledger.sqlite.purge import SqlitePurges
from wharfinger.model import Arrival


def goes_on_without_its_lease() -> None:
    """A worker that is told of a lost lease does not let go of the run."""
    Leases._drop = lambda *_: None


def leaves_the_rest_asleep() -> None:
    """No worker brings back what somebody was about to wake."""
    worker.wake = lambda *_: iter(())


def removes_without_a_note() -> None:
    """Bytes are removed, and the journal does not say why."""
    purge.purge_note = lambda _: {}


def takes_an_order_for_its_deed() -> None:
    """What is ordered is taken for purged: what an earlier purge has left is not looked for."""
    honest = PostgresPurges.ordered, SqlitePurges.ordered
    for purges, ordered in zip((PostgresPurges, SqlitePurges), honest):
        purges.ordered = _young(ordered)


def _young(ordered: Callable[..., list[Arrival]]) -> Callable[..., list[Arrival]]:
    began = [time.time()]  # of this process
    os.register_at_fork(after_in_child=lambda: began.append(time.time()))
    return lambda self, **page: [each for each in ordered(self, **page) if each.purge and each.purge.at >= began[-1]]


def keeps_what_it_read() -> None:
    """A worker has 64 KiB more in memory for each run that it was given."""
    kept: list[bytes] = []
    honest = Execution.advance

    def advance(self: Execution) -> None:
        kept.append(b"r" * 65_536)
        honest(self)

    Execution.advance = advance


def leaves_leases_to_supervisors() -> None:
    """No worker looks for leases that have ended: who dies without a supervisor is missed by nobody."""
    worker.Sweeper.__call__ = lambda _: []


def leaves_families_to_whoever_cancelled() -> None:
    """No worker cancels what cancelled runs have called."""
    worker.cancel_families = lambda *_: iter(())
