"""Claiming runs for a time, holding them longer, giving them back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from wharfinger.ledger import LARGE, MANY, row
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.postgres import figure, history
from wharfinger.ledger.postgres.connection import Transaction, columns, shared
from wharfinger.ledger.postgres.run import UNCLAIMED, named
from wharfinger.ledger.run import LARGE_ALONE, PROCESSING, QUEUED, TOGETHER, Found, is_held
from wharfinger.model import Checkpoint, Lease, Run, State, Status

_READY = "state = 'ready' AND due IS NULL"  # the condition of index run_ready, word for word

_HEADS = f"""
(SELECT rank, lane FROM run WHERE {_READY} AND lane = 0 AND size <= %(size)s ORDER BY rank LIMIT 1)
UNION ALL
(SELECT rank, lane FROM run WHERE {_READY} AND lane = 1 AND size <= %(size)s ORDER BY rank LIMIT 1)
UNION ALL
(SELECT rank, lane FROM run WHERE {_READY} AND lane = {LARGE_ALONE} AND size <= %(size)s AND %(size)s > {LARGE}
 ORDER BY rank LIMIT 1)
"""

_PROMOTE = f"""
UPDATE run SET due = NULL WHERE id IN
  (SELECT id FROM run WHERE state = 'ready' AND due <= %s ORDER BY due LIMIT {MANY} FOR NO KEY UPDATE SKIP LOCKED)
"""

_LEASE = f"""
WITH head AS MATERIALIZED (
  SELECT id, rank, status FROM run WHERE {_READY} AND lane = %(lane)s AND size <= %(size)s
  ORDER BY rank, size, id LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
), leased AS (
  UPDATE run SET state = 'leased', status = 'processing', token = token + 1, owner = %(owner)s, claimed = %(now)s,
    due = %(deadline)s
  FROM head WHERE run.id = head.id
  RETURNING run.id, head.rank, head.status, token, tries, crashes, solo, checkpoint, resumes, replays, input, run.size, file,
    grp, hold
)
SELECT leased.*, f.{row.ARRIVAL.replace(", ", ", f.")} FROM leased JOIN file f ON f.file_id = coalesce(leased.file, leased.id)
ORDER BY leased.rank, leased.size, leased.id
"""

_EXTEND = "UPDATE run SET due = %s WHERE id = ANY(%s::text[])"

_KEEP = """
UPDATE run SET checkpoint = given.checkpoint, resumes = given.resumes
FROM unnest(%s::text[], %s::text[], %s::boolean[]) AS given(id, checkpoint, resumes) WHERE run.id = given.id
"""

_RELEASE = f"UPDATE run SET state = 'ready', status = 'queued', {UNCLAIMED} WHERE id = ANY(%s::text[])"


def claim(tx: Transaction, owner: str, limit: int, now_us: int, deadline_us: int, max_size: int) -> list[Run]:
    """
    Lease the head of the lane whose turn it is: as many as `limit` together, or one alone. What others are just claiming is passed
    over; where that is the whole lane, the next one has its turn.
    """
    holding(tx, owner)
    tx.execute(_PROMOTE, (now_us,))
    heads = tx.execute(_HEADS, {"size": max_size}).fetchall()
    how = {"owner": owner, "now": now_us, "deadline": deadline_us, "size": max_size}
    for _, lane in sorted(heads):
        wanted = {**how, "lane": lane, "limit": limit if lane == TOGETHER else 1}
        if head := tx.execute(_LEASE, wanted).fetchall():
            _count(tx, head)
            return [_run(r, deadline_us / 1_000_000) for r in head]
    return []


def holding(tx: Transaction, owner: str) -> None:
    """Whoever wants to know what `owner` holds (see recover.lost) waits until this transaction has ended."""
    shared(tx, f"owner/{owner}")


def extend(tx: Transaction, leases: Sequence[Lease], deadline_us: int) -> list[bool]:
    """Move the deadlines of those that are still held, and keep their checkpoints."""
    runs = named(tx, [lease.run for lease in leases])
    held = [lease for lease in leases if is_held(runs, lease)]
    tx.execute(_EXTEND, (deadline_us, [lease.run for lease in held]))
    kept = {lease.run: lease.checkpoint for lease in held if lease.checkpoint}
    if kept:
        tx.execute(_KEEP, columns([(run, row.from_checkpoint(c), c.revision != "") for run, c in kept.items()]))
    return [is_held(runs, lease) for lease in leases]


def release(tx: Transaction, leases: Sequence[Lease], now_us: int) -> list[bool]:
    """Make those that are still held ready again, where they stood in the queue."""
    runs = named(tx, [lease.run for lease in leases])
    held = {lease.run: runs[lease.run] for lease in leases if is_held(runs, lease)}
    give_back(tx, [*held.values()], now_us)
    return [is_held(runs, lease) and held.pop(lease.run, None) is not None for lease in leases]


def give_back(tx: Transaction, runs: Sequence[Found], now_us: int) -> None:
    """Make these, which are leased and locked, ready again."""
    heads = history.heads_of(tx, runs)
    tx.execute(_RELEASE, ([found.id for found in runs],))
    history.append(tx, now_us, [found.told("released", found.claim) for found in runs], heads)
    tally = Tally()
    for found in runs:
        found.move(QUEUED, tally)
    figure.write(tx, tally)


def checkpoint(text: str | None, resumes: bool) -> Checkpoint | None:
    """The checkpoint of a row; a void one still names what it keeps."""
    found = row.to_checkpoint(text)
    return found if found is None or resumes else replace(found, revision="")


def _count(tx: Transaction, head: Sequence[tuple[Any, ...]]) -> None:
    tally = Tally()
    for (status, is_child), n in Counter((r[2], r[10] is not None) for r in head).items():
        tally.moved((State.READY, Status(status)), PROCESSING, n, is_child=is_child)
    figure.write(tx, tally)
    figure.serve(tx, head[-1][1])


def _run(r: tuple[Any, ...], deadline: float) -> Run:
    id, _, _, token, tries, crashes, solo, text, resumes, replays, child, _, _, group, holds, *arrival = r
    resumed, called = checkpoint(text, resumes), row.to_child(child)
    file = row.to_arrival(arrival, group=row.to_group(group, holds))
    return Run(id, file, token, deadline, tries, crashes, bool(solo), resumed, replays, called)
