"""Cancels what cancelled runs have called, down to the last child."""

from __future__ import annotations

from collections.abc import Iterator

from wharfinger.ledger import Ledger
from wharfinger.telemetry import crash


def cancel_families(ledger: Ledger) -> Iterator[int]:
    """
    Cancel every run that has not ended and was called by a cancelled one, group by group: yields how many each time, until there are
    none. Safe to repeat, to leave halfway and to run anywhere. Raises LedgerError.
    """
    while runs := ledger.cancel_children():
        crash.point("cancel.descended")
        yield len(runs)
