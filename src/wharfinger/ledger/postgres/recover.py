"""Runs that go on although their worker did not: leases that ended, dead letters that are played again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wharfinger.ledger import MANY
from wharfinger.ledger.child import fewer
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.group import ghost, left, of
from wharfinger.ledger.history import Told
from wharfinger.ledger.postgres import child, figure, group, history, lease, purge, rank
from wharfinger.ledger.postgres.connection import Transaction, columns, locked, rows
from wharfinger.ledger.postgres.run import UNCLAIMED, find, named, with_kin
from wharfinger.ledger.run import ALONE, POISONED, Ended, Found, cancel_child, lane, lose, replayed, restarted
from wharfinger.ledger.run import cancel as cancelled
from wharfinger.model import Lease, State

_EXPIRED = f"WHERE state = 'leased' AND due < %s ORDER BY due LIMIT {MANY} FOR NO KEY UPDATE SKIP LOCKED"
_OWNED = f"WHERE state = 'leased' AND due IS NOT NULL AND owner = %s ORDER BY id LIMIT {MANY} FOR NO KEY UPDATE"

_TAKE_BACK = f"""
UPDATE run SET {UNCLAIMED}, state = lost.state, status = lost.status, lane = greatest(run.lane, {ALONE}), solo = 1,
  crashes = lost.crashes, error = coalesce(lost.error, run.error)
FROM unnest(%s::text[], %s::text[], %s::text[], %s::integer[], %s::text[]) AS lost(id, state, status, crashes, error)
WHERE run.id = lost.id
"""

_REPLAY = """
UPDATE run SET owner = NULL, claimed = NULL, due = again.due, state = again.state, status = again.status, lane = again.lane,
  tries = 0, crashes = 0, solo = 0, resumes = false, replays = replays + 1, revision = NULL, error = '', transferred = NULL
FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[], %s::integer[]) AS again(id, due, state, status, lane)
WHERE run.id = again.id
"""

_FORSAKEN = f"""
SELECT c.id FROM run p CROSS JOIN LATERAL (
  SELECT id FROM run WHERE parent = p.id AND parent IS NOT NULL AND state IN ('ready', 'leased', 'waiting') LIMIT {MANY}
) c WHERE p.state = 'cancelled' AND p.waits > 0 LIMIT {MANY}
"""

_CANCEL = """
UPDATE run SET owner = NULL, claimed = NULL, due = ended.due, state = ended.state, status = ended.status,
  error = coalesce(ended.error, run.error)
FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[]) AS ended(id, due, state, status, error)
WHERE run.id = ended.id
"""

_IS_OBSOLETE = (  # the condition of index run_spent, word for word
    "checkpoint IS NOT NULL AND state <> 'ready' AND state <> 'leased' AND waits = 0 AND status <> 'queued'"
)
_OBSOLETE = f"SELECT id, token, checkpoint, resumes FROM run WHERE {_IS_OBSOLETE} AND id > %s ORDER BY id LIMIT {MANY}"
_DROP = f"""
UPDATE run SET checkpoint = NULL, resumes = false FROM unnest(%s::text[], %s::bigint[]) AS dropped(id, token)
WHERE run.id = dropped.id AND run.token = dropped.token AND {_IS_OBSOLETE} RETURNING run.id, run.token
"""


def lost(tx: Transaction, owner: str | None, now_us: int) -> list[Found]:
    """
    The runs that `owner` holds, or without an owner, those whose lease has ended: at most MANY, locked. A transaction that `owner`
    was in the middle of has ended before; of the others, those that somebody has locked are left to the next sweep.
    """
    if owner is None:
        return [*find(tx, _EXPIRED, now_us).values()]
    locked(tx, f"owner/{owner}")
    return [*find(tx, _OWNED, owner).values()]


def take_back(tx: Transaction, runs: Sequence[Found], cause: str, now_us: int) -> None:
    """Make them ready, to be claimed alone; one that was alone already has crashed, and may do so only so often."""
    moves = [(found, lose(found, cause).place) for found in runs]
    group.lock(tx, left(moves))
    heads = history.heads_of(tx, runs)
    tally = Tally()
    told: list[Told] = []
    ended: list[Found] = []
    changes = []
    for found in runs:
        lost = lose(found, cause)
        changes.append((found.id, *map(str, lost.place), lost.crashes, lost.error))
        found.move(lost.place, tally)
        told += lost.told
        ended += [found] if lost.place == POISONED else []
    tx.execute(_TAKE_BACK, columns(changes))
    parents = sorted(fewer(ended))
    ready = child.ended(tx, ended, (), named(tx, parents), tally) if parents else []
    history.append(tx, now_us, [*told, *child.resumed(ready)], heads)
    following = group.advance(tx, left(moves), now_us, tally)
    rank.enter_again(tx, [*(found.id for found in ready), *following])
    figure.write(tx, tally)


def obsolete_checkpoints(db: Transaction, after: str) -> list[Lease]:
    """Those of up to MANY runs that have ended, after the run `after`."""
    found = rows(db, _OBSOLETE, after)
    return [Lease(id, token, lease.checkpoint(text, resumes)) for id, token, text, resumes in found]


def drop_checkpoints(tx: Transaction, leases: Sequence[Lease]) -> list[bool]:
    """Forget those of runs that have ended and were not claimed since."""
    wanted = sorted({(lease.run, lease.token) for lease in leases})
    dropped = {*rows(tx, _DROP, *columns(wanted))} if wanted else set()
    answers = []
    for each in leases:
        answers.append((each.run, each.token) in dropped)
        dropped.discard((each.run, each.token))
    return answers


def replay(tx: Transaction, files: Sequence[str], by: str, now_us: int) -> list[bool]:
    """Start those again that are at rest; one that has not begun stays where it is in the queue."""
    group.lock_of(tx, files)
    runs = {id: found for id, found in named(tx, files).items() if found.is_at_rest}
    for id in purge.given_up(tx, files):
        runs.pop(id, None)
    again = [found for found in runs.values() if not found.is_fresh]
    if again:
        _start_again(tx, again, by, now_us)
    return [id in runs for id in files]


def _start_again(tx: Transaction, runs: Sequence[Found], by: str, now_us: int) -> None:
    ids = [found.id for found in runs]
    heads = history.heads(tx, ids)
    places = [(found.id, ghost(found), *map(str, restarted(found)), lane(found.size)) for found in runs]
    tx.execute(_REPLAY, columns(places))
    tally = Tally()
    for found in runs:
        found.move(restarted(found), tally)
        tally.incomplete(-found.is_incomplete)
    history.append(tx, now_us, [replayed(found, by) for found in runs], heads)
    following = group.advance(tx, of(runs), now_us, tally)
    rank.enter_again(tx, [*(found.id for found in runs if found.group is None), *following])
    figure.write(tx, tally)


def cancel(tx: Transaction, files: Sequence[str], by: str, now_us: int) -> list[bool]:
    """End those that have not ended well, or are not cancelled yet."""
    group.lock_of(tx, files)
    runs = named(tx, files)
    ends = {id: end for id, found in runs.items() if (end := cancelled(found, by))}
    if ends:
        _end(tx, runs, ends, now_us)
    return [ends.pop(id, None) is not None for id in files]


def forsaken(db: Transaction) -> list[str]:
    """Up to MANY runs that have not ended, and whose parent is cancelled."""
    return [id for (id,) in rows(db, _FORSAKEN)]


def cancel_children(tx: Transaction, now_us: int) -> list[str]:
    """End these: whoever called them waits for them no more, and for nobody."""
    wanted = forsaken(tx)
    group.lock_of(tx, wanted)
    runs = with_kin(tx, wanted) if wanted else {}
    ends = {id: end for id in wanted if _is_forsaken(runs, id) and (end := cancel_child(runs[id]))}
    if ends:
        _end(tx, runs, ends, now_us)
    return [*ends]


def _is_forsaken(runs: Mapping[str, Found], id: str) -> bool:
    """Whether that is so under the locks, too: its file may have been played again."""
    return runs[runs[id].parent or ""].state == State.CANCELLED


def _end(tx: Transaction, runs: Mapping[str, Found], ends: Mapping[str, Ended], now_us: int) -> None:
    ended = [runs[id] for id in ends]
    heads = history.heads_of(tx, ended)
    changes = [(id, ghost(runs[id]), *map(str, end.place), end.error) for id, end in ends.items()]
    tx.execute(_CANCEL, columns(changes))
    tally = Tally()
    for id, end in ends.items():
        runs[id].move(end.place, tally)
    ready = child.ended(tx, ended, (), runs, tally)
    history.append(tx, now_us, [*(end.told for end in ends.values()), *child.resumed(ready)], heads)
    following = group.advance(tx, left((runs[id], end.place) for id, end in ends.items()), now_us, tally)
    rank.enter_again(tx, [*(found.id for found in ready), *following])
    figure.write(tx, tally)
