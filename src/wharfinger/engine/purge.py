"""Removes the bytes of files for good: ordered in the ledger first, then done, then confirmed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wharfinger.ledger import Purges
from wharfinger.store import Store, purge_note
from wharfinger.telemetry import crash


@dataclass(frozen=True, slots=True)
class Purged:
    """What went."""

    files: int
    bytes: int


def order(purges: Purges, files: Sequence[str], *, by: str, rule: str = "") -> list[bool]:
    """See Purges.order; it is for `carry_out` to do it."""
    answers = purges.order(files, by=by, rule=rule)
    crash.point("purge.ordered")
    return answers


def carry_out(purges: Purges, store: Store) -> Iterator[Purged]:
    """
    Remove the bytes of all files of which that is ordered, group by group, whoever ordered it: the journal hears of it first, so that a
    rebuilt ledger knows what became of them. Safe to repeat, to leave halfway, and for several processes at once. Raises LedgerError,
    StoreError.
    """
    while orders := purges.ordered():
        store.note([purge_note(arrival) for arrival in orders])
        crash.point("purge.noted")
        store.delete([arrival.ref for arrival in orders])
        crash.point("purge.deleted")
        confirmed = purges.confirm([arrival.file_id for arrival in orders])
        sizes = [arrival.size for arrival, is_new in zip(orders, confirmed) if is_new]
        yield Purged(len(sizes), sum(sizes))
