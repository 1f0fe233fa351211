"""Claiming runs for a time, holding them longer, giving them back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import apsw

from wharfinger.ledger import LARGE, MANY, row
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.run import LARGE_ALONE, PROCESSING, QUEUED, TOGETHER, is_held
from wharfinger.ledger.sqlite import figure, history, rank
from wharfinger.ledger.sqlite.connection import first, many, rows
from wharfinger.ledger.sqlite.run import NAMED, UNCLAIMED, named
from wharfinger.model import Lease, Run, State, Status

_READY = "state = 'ready' AND due IS NULL"  # the condition of index run_ready, word for word

_HEADS = f"""
SELECT rank, lane FROM (SELECT rank, lane FROM run WHERE {_READY} AND lane = 0 AND size <= ?1 ORDER BY rank LIMIT 1)
UNION ALL
SELECT rank, lane FROM (SELECT rank, lane FROM run WHERE {_READY} AND lane = 1 AND size <= ?1 ORDER BY rank LIMIT 1)
UNION ALL
SELECT rank, lane FROM (SELECT rank, lane FROM run WHERE {_READY} AND lane = {LARGE_ALONE} AND size <= ?1
                        AND ?1 > {LARGE} ORDER BY rank LIMIT 1)
"""

_IS_DUE = "SELECT 1 FROM run WHERE state = 'ready' AND due <= ? LIMIT 1"

_PROMOTE = f"""
UPDATE run SET due = NULL WHERE id IN
  (SELECT id FROM run WHERE state = 'ready' AND due <= ? ORDER BY due LIMIT {MANY})
"""

_HEAD_OF_LANE = f"""
SELECT r.id, r.rank, r.status, r.token + 1, r.tries, r.crashes, r.solo, r.checkpoint, r.replays, r.input,
  r.grp, r.hold, f.{row.ARRIVAL.replace(", ", ", f.")}
FROM run r CROSS JOIN file f ON f.file_id = coalesce(r.file, r.id)
WHERE {_READY} AND r.lane = ? AND r.size <= ? ORDER BY r.rank LIMIT ?
"""

_LEASE = f"""
UPDATE run SET state = 'leased', status = 'processing', token = token + 1, owner = ?, claimed = ?, due = ? {NAMED}
"""


def is_anything_ready(db: apsw.Connection, now_us: int, max_size: int) -> bool:
    """Whether a claim is worth a transaction."""
    return first(db, _HEADS, max_size) is not None or first(db, _IS_DUE, now_us) is not None


def claim(tx: apsw.Connection, owner: str, limit: int, now_us: int, deadline_us: int, max_size: int) -> list[Run]:
    """Lease the head of the lane whose turn it is: as many as `limit` together, or one alone."""
    tx.execute(_PROMOTE, (now_us,))
    heads = rows(tx, _HEADS, max_size)
    if not heads:
        return []
    _, lane = min(heads)
    head = rows(tx, _HEAD_OF_LANE, lane, max_size, limit if lane == TOGETHER else 1)
    tx.execute(_LEASE, (owner, now_us, deadline_us, many([r[0] for r in head])))
    tally = Tally()
    for (status, is_child), n in Counter((r[2], r[9] is not None) for r in head).items():
        tally.moved((State.READY, Status(status)), PROCESSING, n, is_child=is_child)
    figure.write(tx, tally)
    rank.serve(tx, head[-1][1])
    return [_run(r, deadline_us / 1_000_000) for r in head]


def extend(tx: apsw.Connection, leases: Sequence[Lease], deadline_us: int) -> list[bool]:
    """Move the deadlines of those that are still held, and keep their checkpoints."""
    runs = named(tx, [lease.run for lease in leases])
    held = [lease for lease in leases if is_held(runs, lease)]
    tx.execute(f"UPDATE run SET due = ? {NAMED}", (deadline_us, many([lease.run for lease in held])))
    for lease in held:
        if lease.checkpoint:
            tx.execute("UPDATE run SET checkpoint = ? WHERE id = ?", (row.from_checkpoint(lease.checkpoint), lease.run))
    return [is_held(runs, lease) for lease in leases]


def release(tx: apsw.Connection, leases: Sequence[Lease], now_us: int) -> list[bool]:
    """Make those that are still held ready again, where they stood in the queue."""
    runs = named(tx, [lease.run for lease in leases])
    held = {lease.run: runs[lease.run] for lease in leases if is_held(runs, lease)}
    tx.execute(f"UPDATE run SET state = 'ready', status = 'queued', {UNCLAIMED} {NAMED}", (many([*held]),))
    history.append(tx, now_us, [found.told("released", found.claim) for found in held.values()])
    tally = Tally()
    for found in held.values():
        found.move(QUEUED, tally)
    figure.write(tx, tally)
    return [is_held(runs, lease) and held.pop(lease.run, None) is not None for lease in leases]


def _run(r: tuple[Any, ...], deadline: float) -> Run:
    id, _, _, token, tries, crashes, solo, checkpoint, replays, child, group, holds, *arrival = r
    resumed, called = row.to_checkpoint(checkpoint), row.to_child(child)
    file = row.to_arrival(arrival, group=row.to_group(group, holds))
    return Run(id, file, token, deadline, tries, crashes, bool(solo), resumed, replays, called)
