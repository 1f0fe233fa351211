"""Brings back the runs whose worker is gone: their leases have ended, or the worker is known to be dead."""

from __future__ import annotations

from wharfinger.ledger import MANY, Ledger
from wharfinger.ledger.hint import Hint
from wharfinger.telemetry import crash


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
