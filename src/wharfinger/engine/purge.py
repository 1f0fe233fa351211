"""Removes the bytes of files for good: ordered in the ledger first, then done, then confirmed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wharfinger.errors import StoreError
from wharfinger.ledger import Purges
from wharfinger.store import Store, purge_note
from wharfinger.store.removal import remove
from wharfinger.telemetry import crash


@dataclass(frozen=True, slots=True)
class Purged:
    """What went."""

    files: int
    bytes: int


MOST = 1000
"""Where the store refuses so many it is no file's fault: no more are tried, nor noted in the journal each time."""

Stays = dict[str, StoreError]
"""Why the bytes of a file could not be removed, by its id."""


def order(purges: Purges, files: Sequence[str], *, by: str, rule: str = "") -> list[bool]:
    """See Purges.order; it is for `carry_out` to do it."""
    answers = purges.order(files, by=by, rule=rule)
    crash.point("purge.ordered")
    return answers


def carry_out(purges: Purges, store: Store, stays: Stays) -> Iterator[Purged]:
    """
    Remove the bytes of all files of which that is ordered, group by group, whoever ordered it: the journal hears of it first, so that a
    rebuilt ledger knows what became of them. What the store refuses to remove holds up nothing else: it is put into `stays`, and what is
    there already is not tried. Safe to repeat, to leave halfway, and for several processes at once. Raises LedgerError, and StoreError
    where no file is at fault, or more than MOST stay.
    """
    after = ""
    while orders := purges.ordered(after=after):
        after = orders[-1].file_id
        if due := [arrival for arrival in orders if arrival.file_id not in stays]:
            store.note([purge_note(arrival) for arrival in due])
            crash.point("purge.noted")
            refused = remove(store, [arrival.ref for arrival in due])
            stays |= {arrival.file_id: refused[arrival.ref] for arrival in due if arrival.ref in refused}
            gone = [arrival for arrival in due if arrival.ref not in refused]
            crash.point("purge.deleted")
            confirmed = purges.confirm([arrival.file_id for arrival in gone])
            sizes = [arrival.size for arrival, is_new in zip(gone, confirmed) if is_new]
            yield Purged(len(sizes), sum(sizes))
        if len(stays) > MOST:
            raise next(iter(stays.values()))
