"""Child runs: made for a leased run, waited for by it. With the last to end the parent is ready, in the same transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from wharfinger.ledger import child as shared
from wharfinger.ledger import row
from wharfinger.ledger.child import Wanted, checkpoint, fewer
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.outcome import Revisions
from wharfinger.ledger.rank import child_cost
from wharfinger.ledger.run import QUEUED, WAITING, Found, lane
from wharfinger.ledger.sqlite import figure, history, rank
from wharfinger.ledger.sqlite.connection import first, insert, many, rows
from wharfinger.ledger.sqlite.run import NAMED, UNCLAIMED, named
from wharfinger.model import Call, Family
from wharfinger.telemetry import crash

_RUN = "run(id, at, size, lane, rank, state, status, checkpoint, revision, parent, file, call, input, grp)"

_AGAIN = f"""
UPDATE run SET {UNCLAIMED}, state = 'ready', status = 'queued', lane = ?, rank = ?, size = ?, tries = 0, crashes = 0, solo = 0,
  checkpoint = ?, replays = replays + 1, revision = ?, error = '', transferred = NULL, call = ?, input = ?, output = NULL, delivered = 0
WHERE id = ?
"""

_CALLS = f"SELECT id, call FROM run {NAMED}"
_ADOPT = f"UPDATE run SET call = ? {NAMED}"
_CLASH = shared.CLASH.format(deliveries="json_each(r.output) AS d", bytewise="BINARY")
_MORE = "UPDATE run SET waits = waits + ? WHERE id = ?"
_FEWER = "UPDATE run SET waits = waits - ? WHERE id = ?"
_RESUME = f"UPDATE run SET {UNCLAIMED}, state = 'ready', status = 'queued', rank = ? WHERE id = ?"


def spawn(tx: apsw.Connection, call: Call, parent: Found, revisions: Revisions, now_us: int) -> list[bool]:
    """Make those of the call's children that it has not made before. False for one that has ended already."""
    known = named(tx, [child.id(call.run) for child in call.children])
    wanted = shared.wanted(call, parent, known, dict(rows(tx, _CALLS, many([*known]))))
    tx.execute(_ADOPT, (call.id, many(wanted.adopted)))
    if wanted.children:
        _enter(tx, wanted, revisions)
        history.append(tx, now_us, [wanted.told])
    return [*wanted.pending]


def _enter(tx: apsw.Connection, wanted: Wanted, revisions: Revisions) -> None:
    file, call = wanted.parent.history, wanted.call.id
    customer, at = first(tx, "SELECT customer, at FROM file WHERE file_id = ?", file)
    ranks = rank.enter(tx, [(customer, child_cost(child.size)) for child in wanted.children])
    tally = Tally()
    new: list[tuple[Any, ...]] = []
    for (id, child), r in zip(wanted.new, ranks):
        born = checkpoint(child), revisions[child.revision, child.pipeline], wanted.parent.id, file
        new.append(
            (id, at, child.size, lane(child.size), r, *QUEUED, *born, call, row.from_child(child), wanted.parent.group)
        )
        tally.spawned(QUEUED)
    insert(tx, _RUN, new)
    for (found, child), r in zip(wanted.again, ranks[len(new) :]):
        begun = checkpoint(child), revisions[child.revision, child.pipeline], call, row.from_child(child)
        tx.execute(_AGAIN, (lane(child.size), r, child.size, *begun, found.id))
        found.move(QUEUED, tally)
    figure.write(tx, tally)
    tx.execute(_MORE, (len(wanted.children), wanted.parent.id))


def ended(tx: apsw.Connection, runs: Sequence[Found], now_us: int) -> None:
    """These runs have ended just now: whoever waits for one has one less to wait for."""
    parents = fewer(runs)
    if parents:
        crash.point("ledger.waking")
        tx.executemany(_FEWER, [(n, parent) for parent, n in parents.items()])
        resume(tx, [*parents], now_us)


def resume(tx: apsw.Connection, runs: Sequence[str], now_us: int) -> None:
    """Make those ready that wait for children and have none left to wait for. They pay for their place as new work does."""
    if not runs:
        return
    ready = [found for found in named(tx, runs).values() if found.place == WAITING and not found.waits]
    ranks = rank.enter_again(tx, [found.id for found in ready])
    tx.executemany(_RESUME, [(ranks[found.id], found.id) for found in ready])
    tally = Tally()
    for found in ready:
        found.move(QUEUED, tally)
    figure.write(tx, tally)
    history.append(tx, now_us, [found.told("resumed", {}) for found in ready])


def family(db: apsw.Connection, run: str, call: str) -> Family:
    """What became of the children of one call."""
    asked = (shared.COUNTS, shared.TROUBLED, shared.OUTPUTS, _CLASH)
    return shared.family(*(rows(db, sql, run, call) for sql in asked))
