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

    def spawned(self, place: Place) -> None:
        """A child was made, and stands here."""
        self._change[_name(place, is_child=True)] += 1

    def incomplete(self, n: int) -> None:
        """So many more files, or if negative fewer, are transferred without all that their runs called for."""
        self._change["incomplete"] += n

    def ordered(self, n: int) -> None:
        """So many orders to purge a file are to be carried out now, or if negative, no longer."""
        self._change["purging"] += n

    def purged(self, size: int) -> None:
        """The bytes of a file are gone."""
        self._change["purged"] += 1
        self._change["purged_bytes"] += size

    def moved(self, before: Place, after: Place, n: int = 1, *, is_child: bool = False) -> None:
        """So many runs moved."""
        if before[0] != after[0] and after[0] not in MOVES[before[0]]:
            raise LedgerError(f"a run that is {before[0]} cannot become {after[0]}", code="ILLEGAL_MOVE")
        self._change[_name(before, is_child=is_child)] -= n
        self._change[_name(after, is_child=is_child)] += n

    def changes(self) -> list[tuple[str, int]]:
        """
        What is to be added to which sum: runs and their files' status ("ready/uploaded"), "child/ready/queued", "bytes", "incomplete",
        and what is purged.
        """
        return [(name, n) for name, n in self._change.items() if n]


def _name(place: Place, *, is_child: bool) -> str:
    return "/".join(("child", *place) if is_child else place)


def places(sums: Mapping[str, int], *, are_children: bool = False) -> dict[Place, int]:
    """How many runs stand in each place: those of files, or those that others have called."""
    names = {tuple(name.split("/")): n for name, n in sums.items()}
    length = 3 if are_children else 2
    return {(State(name[-2]), Status(name[-1])): n for name, n in names.items() if len(name) == length}


def counts(sums: Mapping[str, int], oldest: tuple[int | None, int | None]) -> Counts:
    """The figures of a catalogue, from the sums and what `record.OLDEST` answers (µs)."""
    files, runs, children = dict.fromkeys(Status, 0), dict.fromkeys(State, 0), dict.fromkeys(State, 0)
    found = places(sums)
    for (state, status), n in found.items():
        files[status] += n
        runs[state] += n
    called = places(sums, are_children=True)
    for (state, _), n in called.items():
        children[state] += n
    unrouted = found.get((State.WAITING, Status.UPLOADED), 0)
    held = sum(each.get((State.WAITING, Status.QUEUED), 0) for each in (found, called))
    others = [sums.get(name, 0) for name in ("purged", "purged_bytes", "purging", "incomplete")]
    ready, leased = map(row.seconds, oldest)
    return Counts(files, sums.get("bytes", 0), runs, children, unrouted, held, ready, leased, *others)
