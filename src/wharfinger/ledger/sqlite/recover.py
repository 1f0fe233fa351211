"""Runs that go on although their worker did not: leases that ended, dead letters that are played again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import apsw

from wharfinger.ledger import MANY, row
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.group import ghost, left, of
from wharfinger.ledger.history import Told
from wharfinger.ledger.run import ALONE, POISONED, Ended, Found, cancel_child, lane, lose, replayed, restarted
from wharfinger.ledger.run import cancel as cancelled
from wharfinger.ledger.sqlite import child, figure, group, history, purge, rank
from wharfinger.ledger.sqlite.connection import first, rows
from wharfinger.ledger.sqlite.run import UNCLAIMED, find, named
from wharfinger.model import Lease

_TAKE_BACK = f"""
UPDATE run SET {UNCLAIMED}, state = ?, status = ?, lane = max(lane, {ALONE}), solo = 1, crashes = ?, error = coalesce(?, error)
WHERE id = ?
"""

_REPLAY = """
UPDATE run SET owner = NULL, claimed = NULL, due = ?, state = ?, status = ?, lane = ?, rank = ?, tries = 0, crashes = 0, solo = 0,
  checkpoint = json_set(checkpoint, '$.revision', ''), replays = replays + 1, revision = NULL, error = '', transferred = NULL
WHERE id = ?
"""

_FORSAKEN = f"""
SELECT c.id FROM run p CROSS JOIN run c ON c.parent = p.id
WHERE p.state = 'cancelled' AND p.waits > 0 AND c.state IN ('ready', 'leased', 'waiting') LIMIT {MANY}
"""

_CANCEL = "UPDATE run SET owner = NULL, claimed = NULL, due = ?, state = ?, status = ?, error = coalesce(?, error) WHERE id = ?"

_IS_OBSOLETE = (  # the condition of index run_spent, word for word
    "checkpoint IS NOT NULL AND state <> 'ready' AND state <> 'leased' AND waits = 0 AND status <> 'queued'"
)
_OBSOLETE = f"SELECT id, token, checkpoint FROM run WHERE {_IS_OBSOLETE} AND id > ? ORDER BY id LIMIT {MANY}"
_DROP = f"UPDATE run SET checkpoint = NULL WHERE id = ? AND token = ? AND {_IS_OBSOLETE} RETURNING id"


def lost(tx: apsw.Connection, owner: str | None, now_us: int) -> list[Found]:
    """The runs that `owner` holds, or without an owner, those whose lease has ended: at most MANY."""
    which, value = ("due < ?", now_us) if owner is None else ("due IS NOT NULL AND owner = ?", owner)
    return [*find(tx, f"WHERE state = 'leased' AND {which} ORDER BY due LIMIT {MANY}", value).values()]


def take_back(tx: apsw.Connection, runs: Sequence[Found], cause: str, now_us: int) -> None:
    """Make them ready, to be claimed alone; one that was alone already has crashed, and may do so only so often."""
    tally = Tally()
    told: list[Told] = []
    moves = []
    for found in runs:
        lost = lose(found, cause)
        moves.append((found, lost.place))
        tx.execute(_TAKE_BACK, (*lost.place, lost.crashes, lost.error, found.id))
        found.move(lost.place, tally)
        told += lost.told
    figure.write(tx, tally)
    history.append(tx, now_us, told)
    child.ended(tx, [found for found, place in moves if place == POISONED], now_us)
    group.advance(tx, left(moves), now_us)


def obsolete_checkpoints(db: apsw.Connection, after: str) -> list[Lease]:
    """Those of up to MANY runs that have ended, after the run `after`."""
    return [Lease(id, token, row.to_checkpoint(checkpoint)) for id, token, checkpoint in rows(db, _OBSOLETE, after)]


def drop_checkpoints(tx: apsw.Connection, leases: Sequence[Lease]) -> list[bool]:
    """Forget those of runs that have ended and were not claimed since."""
    return [first(tx, _DROP, lease.run, lease.token) is not None for lease in leases]


def replay(tx: apsw.Connection, files: Sequence[str], by: str, now_us: int) -> list[bool]:
    """Start those again that are at rest; one that has not begun stays where it is in the queue."""
    runs = {id: found for id, found in named(tx, files).items() if found.is_at_rest}
    for id in purge.given_up(tx, files):
        runs.pop(id, None)
    again = [found for found in runs.values() if not found.is_fresh]
    ranks = rank.enter_again(tx, [found.id for found in again if found.group is None])
    places = [(ghost(found), *restarted(found), lane(found.size), ranks.get(found.id, 0), found.id) for found in again]
    tx.executemany(_REPLAY, places)
    tally = Tally()
    for found in again:
        found.move(restarted(found), tally)
        tally.incomplete(-found.is_incomplete)
    figure.write(tx, tally)
    history.append(tx, now_us, [replayed(found, by) for found in again])
    group.advance(tx, of(again), now_us)
    return [id in runs for id in files]


def cancel(tx: apsw.Connection, files: Sequence[str], by: str, now_us: int) -> list[bool]:
    """End those that have not ended well, or are not cancelled yet."""
    runs = named(tx, files)
    ends = {id: end for id, found in runs.items() if (end := cancelled(found, by))}
    _end(tx, runs, ends, now_us)
    return [ends.pop(id, None) is not None for id in files]


def forsaken(db: apsw.Connection) -> list[str]:
    """Up to MANY runs that have not ended, and whose parent is cancelled."""
    return [id for (id,) in rows(db, _FORSAKEN)]


def cancel_children(tx: apsw.Connection, now_us: int) -> list[str]:
    """End these: whoever called them waits for them no more, and for nobody."""
    runs = named(tx, forsaken(tx))
    ends = {id: end for id, found in runs.items() if (end := cancel_child(found))}
    _end(tx, runs, ends, now_us)
    child.ended(tx, [*runs.values()], now_us)
    return [*runs]


def _end(tx: apsw.Connection, runs: Mapping[str, Found], ends: Mapping[str, Ended], now_us: int) -> None:
    tally = Tally()
    for id, end in ends.items():
        tx.execute(_CANCEL, (ghost(runs[id]), *end.place, end.error, id))
        runs[id].move(end.place, tally)
    figure.write(tx, tally)
    history.append(tx, now_us, [end.told for end in ends.values()])
    group.advance(tx, left((runs[id], end.place) for id, end in ends.items()), now_us)
