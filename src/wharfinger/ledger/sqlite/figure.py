"""Sums kept beside the rows they count, and the one gate through which a run changes its state."""

from __future__ import annotations

from collections import Counter

import apsw

from wharfinger.errors import LedgerError
from wharfinger.ledger.sqlite.connection import insert, rows
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

    def write(self, tx: apsw.Connection) -> None:
        """Add it to the sums."""
        changes = [(name, n) for name, n in self._change.items() if n]
        insert(tx, "figure(name, value)", changes, conflict="ON CONFLICT DO UPDATE SET value = value + excluded.value")


def read(db: apsw.Connection) -> tuple[dict[Place, int], int]:
    """How many runs stand in each place, and how many bytes arrived in all."""
    sums: dict[str, int] = dict(rows(db, "SELECT name, value FROM figure"))
    places = {name: n for name, n in sums.items() if "/" in name}
    split = {tuple(name.split("/")): n for name, n in places.items()}
    return {(State(state), Status(status)): n for (state, status), n in split.items()}, sums.get("bytes", 0)
