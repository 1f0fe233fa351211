"""Cancels files, and what their runs have called, down to the last child; a lost ledger is told of it by the journal."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from wharfinger.ledger import Catalog, Database, Ledger
from wharfinger.model import State
from wharfinger.store import Store, cancel_note
from wharfinger.telemetry import crash


def cancel(store: Store, ledger: Ledger, files: Sequence[str], by: str) -> list[bool]:
    """Whether each of these files (at most 100) was cancelled, as Ledger.cancel has it; a rebuilt ledger will know. Raises StoreError."""
    store.note([cancel_note(file, by) for file in files])
    crash.point("cancel.noted")
    return ledger.cancel(files, by)


def replay(
    store: Store, database: Database, files: Sequence[str], by: str, *, cancelled: Collection[str]
) -> list[bool]:
    """
    Whether each of these files (at most 100) runs again, as Ledger.replay has it; `cancelled` of them were, and those that stay so are
    known as that to a rebuilt ledger. Raises StoreError.
    """
    revived = [file for file in files if file in cancelled]
    store.note([cancel_note(file, None) for file in revived])
    crash.point("replay.noted")
    answers = database.ledger.replay(files, by=by)
    refused = {file for file, is_again in zip(files, answers) if not is_again}
    store.note(
        [cancel_note(file, who) for file in revived if file in refused and (who := _who(database.catalog, file))]
    )
    return answers


def _who(catalog: Catalog, file: str) -> str:
    """Who cancelled it; "" where it is not cancelled, or bytes were given up: that says it already."""
    record = catalog.file(file)
    if not record or record.state is not State.CANCELLED:
        return ""
    orders = (event for event in reversed(catalog.events(file)) if event.kind in ("cancelled", "dismissed"))
    return next((str(event.data.get("by", "")) for event in orders), "")


def cancel_families(ledger: Ledger) -> Iterator[int]:
    """
    Cancel every run that has not ended and was called by a cancelled one, group by group: yields how many each time, until there are
    none. Safe to repeat, to leave halfway and to run anywhere. Raises LedgerError.
    """
    while runs := ledger.cancel_children():
        crash.point("cancel.descended")
        yield len(runs)
