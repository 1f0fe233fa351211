"""
Groups: files that are worked on one after another, in the order of their arrival.

Of a group at most one file's run is active. Behind it stand the younger ones; what is dead, or what no pipeline took, holds those behind
it where the group wants that. Every file has one `turn` for good: a replay brings it back to its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wharfinger.ledger import row
from wharfinger.ledger.figure import Place
from wharfinger.ledger.run import BEHIND, RETRIED, UNROUTED, UPLOADED, Found, lane
from wharfinger.model import ENDED, Arrival, State

ACTIVE = "grp IS NOT NULL AND parent IS NULL AND (state = 'ready' OR state = 'leased' OR state = 'waiting' AND status <> 'uploaded')"
"""The condition of index run_active, word for word."""

KIN = "grp IS NOT NULL AND parent IS NOT NULL AND (state = 'ready' OR state = 'leased' OR state = 'waiting')"
"""
The condition of index run_kin, word for word: child runs that have not ended. Their file is active; where it was cancelled they are
what is left of it.
"""

HOLDS = "hold AND (state = 'dead' OR state = 'waiting' AND status = 'uploaded')"
"""The condition of index run_holds, word for word."""

IS_TAKEN = f"""
coalesce((SELECT 1 FROM run WHERE grp = g.name AND {ACTIVE} LIMIT 1),
         (SELECT 1 FROM run WHERE grp = g.name AND {KIN} LIMIT 1),
         (SELECT 1 FROM run WHERE grp = g.name AND {HOLDS} LIMIT 1)) IS NOT NULL
"""
"""Whether a newcomer to the group `g.name` stands behind somebody: without these nobody is behind them either."""

FIRST_BEHIND = "SELECT id FROM run WHERE state = 'behind' AND grp = g.name ORDER BY turn LIMIT 1"
HAS_TURN = f"""
(SELECT 1 FROM run WHERE grp = g.name AND {ACTIVE} LIMIT 1) IS NULL
AND (SELECT 1 FROM run WHERE grp = g.name AND {KIN} LIMIT 1) IS NULL
AND (SELECT 1 FROM run WHERE grp = g.name AND turn < r.turn AND {HOLDS} LIMIT 1) IS NULL
"""
"""Whether the first one behind, `r`, of the group `g.name` may begin."""

GHOSTS = """
SELECT grp, max(due) FROM run WHERE state IN ('cancelled', 'behind') AND due > ? AND grp IN (?) GROUP BY grp
"""
"""Until when nobody of these groups begins (see `ghost`)."""

AHEAD = f"""
CASE WHEN r.state = 'behind' THEN coalesce(
  (SELECT id FROM run WHERE grp = r.grp AND {ACTIVE}),
  (SELECT file FROM run WHERE grp = r.grp AND {KIN} LIMIT 1),
  (SELECT id FROM run WHERE grp = r.grp AND turn < r.turn AND {HOLDS} ORDER BY turn LIMIT 1)) END
"""
"""Whom the run `r` waits for."""

IS_HOLDER = f"""
{HOLDS} AND (SELECT 1 FROM run b WHERE b.state = 'behind' AND b.grp = r.grp AND b.turn > r.turn LIMIT 1) IS NOT NULL
"""
"""Whether the run `r` holds up others of its group."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a new run stands, also in its group."""

    place: Place
    group: str | None = None
    n: int | None = None  # grows with every arrival in the group
    holds: bool | None = None
    due: int | None = None  # µs; None: it may begin at once


RUN = "run(id, at, size, lane, rank, state, status, tries, transferred, due, grp, turn, hold)"
"""The columns of a new file's run."""


def as_row(a: Arrival, turn: Turn, rank: int, became: tuple[Any, ...]) -> tuple[Any, ...]:
    """The row with the columns RUN; `became` is its state, status, tries and the time of its transfer."""
    place = a.file_id, row.micros(a.at), a.size, lane(a.size), rank
    return *place, *became, turn.due, turn.group, turn.n, turn.holds


def names(arrivals: Iterable[Arrival]) -> list[str]:
    """The groups of these, sorted."""
    return sorted({a.group.name for a in arrivals if a.group})


def turns(
    arrivals: Sequence[Arrival], taken: Collection[str], ghosts: Mapping[str, int], numbers: Iterable[int]
) -> list[Turn]:
    """
    Where these arrivals stand, in their order, if in the groups `taken` there is somebody before them. There is a number for each that
    has a group; one that was delivered already keeps nobody waiting.
    """
    busy, given = {*taken}, iter(numbers)
    found = []
    for a in arrivals:
        if a.group is None:
            found.append(Turn(UPLOADED))
            continue
        name = a.group.name
        place, due = (BEHIND[0], None) if name in busy else (UPLOADED, ghosts.get(name))
        found.append(Turn(place, name, next(given), a.group.holds, due))
        if a.delivered is None and a.purge is None:
            busy.add(name)
    return found


def left(moves: Iterable[tuple[Found, Place]]) -> list[str]:
    """The groups, sorted, in which one of these runs has come to such a place that it keeps nobody waiting."""
    return of(found for found, place in moves if _is_over(place, found))


def of(runs: Iterable[Found]) -> list[str]:
    """The groups of these runs, sorted."""
    return sorted({found.group for found in runs if found.group is not None})


def ghost(found: Found) -> int | None:
    """
    The time (µs) that is kept with a run of a group which is cancelled in the hands of a worker: until then nobody of its group
    begins, since the worker may not know it yet. It stays where the run is played again, and cancelled again; the time of a retry does not.
    """
    return found.due if found.group is not None and found.place != RETRIED else None


def _is_over(place: Place, found: Found) -> bool:
    if found.parent is None and (place[0] == State.DEAD or place == UNROUTED):
        return not found.holds
    return place[0] in ENDED
