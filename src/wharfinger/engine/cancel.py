"""Cancels files, and what their runs have called, down to the last child; a lost ledger is told of it by the journal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from wharfinger.ledger import Ledger
from wharfinger.store import Store, cancel_note
from wharfinger.telemetry import crash


def cancel(store: Store, ledger: Ledger, files: Sequence[str], by: str) -> list[bool]:
    """Whether each of these files (at most 100) was cancelled, as Ledger.cancel has it; a rebuilt ledger will know. Raises StoreError."""
    store.note([cancel_note(file, by) for file in files])
    crash.point("cancel.noted")
    return ledger.cancel(files, by)


def replay(store: Store, ledger: Ledger, files: Sequence[str], by: str, *, cancelled: Collection[str]) -> list[bool]:
    """Whether each of these files (at most 100) runs again, as Ledger.replay has it; `cancelled` of them were. Raises StoreError."""
    if revived := [file for file in files if file in cancelled]:
        store.note([cancel_note(file, None) for file in revived])
    return ledger.replay(files, by=by)


def cancel_families(ledger: Ledger) -> Iterator[int]:
    """
    Cancel every run that has not ended and was called by a cancelled one, group by group: yields how many each time, until there are
    none. Safe to repeat, to leave halfway and to run anywhere. Raises LedgerError.
    """
    while runs := ledger.cancel_children():
        crash.point("cancel.descended")
        yield len(runs)
