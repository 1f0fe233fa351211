"""Groups (see ledger.group) as rows."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from wharfinger.ledger.figure import Tally
from wharfinger.ledger.group import FIRST_BEHIND, GHOSTS, HAS_TURN, IS_TAKEN, Turn, names, turns
from wharfinger.ledger.sqlite import figure, rank
from wharfinger.ledger.sqlite.connection import first, many, rows
from wharfinger.model import Arrival, State, Status
from wharfinger.telemetry import crash

_GROUPS = "(SELECT value AS name FROM json_each(?)) g"
_TAKEN = f"SELECT g.name FROM {_GROUPS} WHERE {IS_TAKEN}"
_GHOSTS = GHOSTS.replace("(?)", "(SELECT value FROM json_each(?))")

_NUMBERS = """
INSERT INTO figure(name, value) VALUES ('turns', ?)
ON CONFLICT DO UPDATE SET value = value + excluded.value RETURNING value
"""

_NEXT = f"SELECT g.name, r.id, r.status FROM {_GROUPS} CROSS JOIN run r ON r.id = ({FIRST_BEHIND}) WHERE {HAS_TURN}"
_ADVANCE = "UPDATE run SET state = 'ready', rank = ?, due = ? WHERE id = ?"


def enter(tx: apsw.Connection, arrivals: Sequence[Arrival], now_us: int) -> list[Turn]:
    """Where these new files stand."""
    groups = names(arrivals)
    if not groups:
        return turns(arrivals, (), {}, ())
    taken = {name for (name,) in rows(tx, _TAKEN, many(groups))}
    ghosts = dict(rows(tx, _GHOSTS, now_us, many(groups)))
    n = sum(a.group is not None for a in arrivals)
    (last,) = first(tx, _NUMBERS, n)
    return turns(arrivals, taken, ghosts, range(last - n + 1, last + 1))


def advance(tx: apsw.Connection, groups: Sequence[str], now_us: int) -> None:
    """Of each of these groups, make the next one ready if it is its turn. It pays for its place as new work does."""
    if not groups:
        return
    crash.point("ledger.advancing")
    found = rows(tx, _NEXT, many(groups))
    ghosts = dict(rows(tx, _GHOSTS, now_us, many(groups)))
    ranks = rank.enter_again(tx, [id for _, id, _ in found])
    tx.executemany(_ADVANCE, [(ranks[id], ghosts.get(name), id) for name, id, _ in found])
    tally = Tally()
    for _, _, status in found:
        tally.moved((State.BEHIND, Status(status)), (State.READY, Status(status)))
    figure.write(tx, tally)
