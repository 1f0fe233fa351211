"""Brings back the runs that waited for a paused pipeline, once it is resumed."""

from __future__ import annotations

from collections.abc import Iterator

from wharfinger.ledger import MANY, Gates, Hint
from wharfinger.telemetry import crash


def wake(gates: Gates, hint: Hint) -> Iterator[int]:
    """
    Make runs ready that wait for a pipeline which is not paused any more, group by group, and wake workers: yields how many each time,
    until there are no more. Safe to repeat, to leave halfway and to run anywhere. Raises LedgerError.
    """
    while runs := gates.wake():
        crash.point("gate.woken")
        hint.send(runs)
        yield len(runs)
        if len(runs) < MANY:
            return
