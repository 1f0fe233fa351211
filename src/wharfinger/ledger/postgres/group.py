"""
Groups (see ledger.group) as rows.

Whoever lets somebody into a group or out of it locks the group first, before any row: the next statement then sees what the one
before has done. What only moves within the group's active run (a claim, a retry) needs no lock.

But for `recover.take_back`: it passes over rows that others hold, so that a session which hangs keeps nobody's leases from coming back, and
learns from those that it got which groups it has to lock. Should somebody who has such a group want one of these rows at that moment, the
server ends one of the two after its deadlock_timeout, and it is begun again.
"""

from __future__ import annotations

from collections.abc import Sequence

from wharfinger.ledger.figure import Tally
from wharfinger.ledger.group import FIRST_BEHIND, GHOSTS, HAS_TURN, IS_TAKEN, Turn, names, turns
from wharfinger.ledger.postgres.connection import Transaction, columns, locked
from wharfinger.model import Arrival, State, Status
from wharfinger.telemetry import crash

_LOCK = """
SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/group/' || grp, 0))
FROM (SELECT DISTINCT grp FROM run WHERE id = ANY(%s::text[]) AND grp IS NOT NULL ORDER BY grp) AS g
"""

_GROUPS = "unnest(%s::text[]) AS g(name)"
_TAKEN = f"SELECT g.name FROM {_GROUPS} WHERE {IS_TAKEN}"
_GHOSTS = GHOSTS.replace("?", "%s", 1).replace("IN (?)", "= ANY(%s::text[])")
_NUMBERS = "SELECT nextval('turn') FROM generate_series(1, %s)"

_NEXT = f"""
SELECT g.name, r.id, r.status FROM {_GROUPS} CROSS JOIN LATERAL (SELECT * FROM run WHERE id = ({FIRST_BEHIND})) r
WHERE {HAS_TURN}
"""
_ADVANCE = """
UPDATE run SET state = 'ready', due = next.due FROM unnest(%s::text[], %s::bigint[]) AS next(id, due) WHERE run.id = next.id
"""


def lock(tx: Transaction, groups: Sequence[str]) -> None:
    """Let nobody else into these groups, or out of them, until the transaction ends."""
    if groups:
        locked(tx, *(f"group/{name}" for name in groups))


def lock_of(tx: Transaction, runs: Sequence[str]) -> None:
    """Likewise for the groups of the runs of these ids."""
    tx.execute(_LOCK, ([*runs],))


def enter(tx: Transaction, arrivals: Sequence[Arrival], now_us: int) -> list[Turn]:
    """Where these new files stand; their groups are locked."""
    groups = names(arrivals)
    if not groups:
        return turns(arrivals, (), {}, ())
    asked = tx.execute(_TAKEN, (groups,)), tx.execute(_GHOSTS, (now_us, groups))
    numbers = tx.execute(_NUMBERS, (sum(a.group is not None for a in arrivals),))
    taken = {name for (name,) in asked[0].fetchall()}
    ghosts: dict[str, int] = dict(asked[1].fetchall())
    return turns(arrivals, taken, ghosts, [n for (n,) in numbers])


def advance(tx: Transaction, groups: Sequence[str], now_us: int, tally: Tally) -> list[str]:
    """
    Of each of these groups, which are locked, make the next one ready if it is its turn. Answers which: they enter the queue, and pay for
    their places as new work does.
    """
    if not groups:
        return []
    crash.point("ledger.advancing")
    asked = tx.execute(_NEXT, ([*groups],)), tx.execute(_GHOSTS, (now_us, [*groups]))
    found = asked[0].fetchall()
    ghosts: dict[str, int] = dict(asked[1].fetchall())
    if found:
        tx.execute(_ADVANCE, columns([(id, ghosts.get(name)) for name, id, _ in found]))
    for _, _, status in found:
        tally.moved((State.BEHIND, Status(status)), (State.READY, Status(status)))
    return [id for _, id, _ in found]
