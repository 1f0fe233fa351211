"""Brings back the runs whose worker is gone: their leases have ended, or the worker is known to be dead."""

from __future__ import annotations

import time
from collections.abc import Callable

from wharfinger.ledger import MANY, Hint, Ledger
from wharfinger.telemetry import crash

LEAP_S = 1.0
"""A wall clock that gains so much on the monotonic one between two sweeps was set, or the machine slept."""


class Sweeper:
    """
    Takes back, again and again, every run whose lease has ended. A clock that leaps ahead ends leases whose holders are well, and so
    does a ledger that nobody can reach: what comes back right afterwards is counted against nobody.
    """

    def __init__(
        self,
        ledger: Ledger,
        hint: Hint,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self._hint = ledger, hint
        self._clock, self._monotonic = clock, monotonic
        self._ahead = self._lead()
        self._was_away = False  # the ledger, when it was asked last

    def __call__(self) -> list[str]:
        """See `sweep`."""
        ahead, was_away = self._lead(), self._was_away
        self._was_away = True
        runs = sweep(self._ledger, self._hint, crashed=not was_away and ahead - self._ahead < LEAP_S)
        self._was_away = False
        self._ahead = ahead
        return runs

    def _lead(self) -> float:
        return self._clock() - self._monotonic()


def sweep(ledger: Ledger, hint: Hint, *, owner: str | None = None, crashed: bool = True) -> list[str]:
    """
    Take back every run whose lease has ended, or all that `owner` holds, and wake a worker. Safe to repeat and to run anywhere.
    Unless something has `crashed`, nothing is counted against them. Answers their ids; raises LedgerError.
    """
    crash.point("sweeper.begun")
    runs: list[str] = []
    while some := ledger.sweep(owner=owner, crashed=crashed):
        runs += some
        if len(some) < MANY:
            break
    if runs:
        crash.point("sweeper.swept")
        hint.send(runs)
    return runs
