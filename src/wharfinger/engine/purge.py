"""Removes the bytes of files for good: ordered in the ledger first, then done, then confirmed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wharfinger.errors import NoSpace, StoreError, Unreachable
from wharfinger.ledger import Purges
from wharfinger.model import Arrival
from wharfinger.store import Store, purge_note
from wharfinger.telemetry import crash


@dataclass(frozen=True, slots=True)
class Purged:
    """What went."""

    files: int
    bytes: int


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
    where no file is at fault.
    """
    after = ""
    while orders := purges.ordered(after=after):
        after = orders[-1].file_id
        if due := [arrival for arrival in orders if arrival.file_id not in stays]:
            store.note([purge_note(arrival) for arrival in due])
            crash.point("purge.noted")
            gone = _delete(store, due, stays)
            crash.point("purge.deleted")
            confirmed = purges.confirm([arrival.file_id for arrival in gone])
            sizes = [arrival.size for arrival, is_new in zip(gone, confirmed) if is_new]
            yield Purged(len(sizes), sum(sizes))


def _delete(store: Store, arrivals: Sequence[Arrival], stays: Stays) -> Sequence[Arrival]:
    """Those whose bytes are gone; a group that is refused as a whole is tried one by one."""
    try:
        store.delete([arrival.ref for arrival in arrivals])
    except (NoSpace, Unreachable):
        raise
    except StoreError as error:
        if len(arrivals) > 1:
            return [each for arrival in arrivals for each in _delete(store, [arrival], stays)]
        said = f"{arrivals[0].ref}: {error}"
        stays[arrivals[0].file_id] = StoreError(
            said, code=error.code, fix=error.fix
        )  # without its frames, for it is kept
        return []
    return arrivals
