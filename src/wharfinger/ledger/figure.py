"""The sums that a ledger keeps beside its rows, and the one gate through which a run changes its state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from wharfinger.errors import LedgerError
from wharfinger.ledger import Counts, row
from wharfinger.model import MOVES, State, Status

Place = tuple[State, Status]
"""Where a run stands, and what is said of its file."""


class Tally:
    """What one transaction changes. Refuses a move that is not legal, which rolls the transaction back."""

    def __init__(self) -> None:
        self._change: Counter[str] = Counter()

    def born(self, place: Place, size: int) -> None:
        """A file of `size` bytes arrived, and its run stands here."""
        self._change["/".join(place)] += 1
        self._change["bytes"] += size

    def moved(self, before: Place, after: Place, n: int = 1) -> None:
        """So many runs moved."""
        if before[0] != after[0] and after[0] not in MOVES[before[0]]:
            raise LedgerError(f"a run that is {before[0]} cannot become {after[0]}", code="ILLEGAL_MOVE")
        self._change["/".join(before)] -= n
        self._change["/".join(after)] += n

    def changes(self) -> list[tuple[str, int]]:
        """What is to be added to which sum: runs and their files' status ("ready/uploaded"), and "bytes"."""
        return [(name, n) for name, n in self._change.items() if n]


def places(sums: Mapping[str, int]) -> dict[Place, int]:
    """How many runs stand in each place."""
    split = {tuple(name.split("/")): n for name, n in sums.items() if "/" in name}
    return {(State(state), Status(status)): n for (state, status), n in split.items()}


def counts(places: Mapping[Place, int], size: int, oldest: int | None) -> Counts:
    """The figures of a catalogue: so many runs in each place, `size` bytes in all, the oldest ready one of `oldest` (µs)."""
    files = dict.fromkeys(Status, 0)
    runs = dict.fromkeys(State, 0)
    for (state, status), n in places.items():
        files[status] += n
        runs[state] += n
    return Counts(files, size, runs, places.get((State.WAITING, Status.UPLOADED), 0), row.seconds(oldest))
