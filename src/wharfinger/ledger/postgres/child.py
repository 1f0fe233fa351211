"""Child runs: made for a leased run, waited for by it. With the last to end the parent is ready, in the same transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from wharfinger.ledger import child as shared
from wharfinger.ledger import row
from wharfinger.ledger.child import Wanted, checkpoint, fewer
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.history import Told
from wharfinger.ledger.outcome import Revisions
from wharfinger.ledger.postgres import figure, history, rank
from wharfinger.ledger.postgres.connection import Transaction, columns, rows
from wharfinger.ledger.postgres.run import UNCLAIMED, with_kin
from wharfinger.ledger.rank import child_cost
from wharfinger.ledger.run import QUEUED, WAITING, Found, is_held, lane
from wharfinger.model import Call, Family, Lease
from wharfinger.telemetry import crash

_NEW = """
INSERT INTO run(id, at, size, lane, rank, state, status, checkpoint, revision, parent, file, call, input, grp)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::text[], %s::text[],
  %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
"""

_AGAIN = f"""
UPDATE run SET {UNCLAIMED}, state = 'ready', status = 'queued', lane = again.lane, rank = again.rank, size = again.size, tries = 0,
  crashes = 0, solo = 0, checkpoint = again.checkpoint, resumes = false, replays = replays + 1, revision = again.revision,
  error = '', transferred = NULL, call = again.call, input = again.input, output = NULL, delivered = 0
FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[])
  AS again(id, lane, rank, size, checkpoint, revision, call, input) WHERE run.id = again.id
"""

_CALLS = "SELECT id, call FROM run WHERE id = ANY(%s::text[])"
_ADOPT = "UPDATE run SET call = %s WHERE id = ANY(%s::text[])"
CLASH = shared.CLASH.format(deliveries="json_array_elements(r.output::json) AS d(value)", bytewise='"C"')
_FILES = "SELECT file_id, customer, at FROM file WHERE file_id = ANY(%s::text[])"
_MORE = """
UPDATE run SET waits = waits + more.n FROM unnest(%s::text[], %s::integer[]) AS more(id, n) WHERE run.id = more.id
"""

_FEWER = """
UPDATE run SET waits = after.waits, state = coalesce(after.state, run.state), status = coalesce(after.status, run.status)
FROM unnest(%s::text[], %s::integer[], %s::text[], %s::text[]) AS after(id, waits, state, status)
WHERE run.id = after.id
"""


def spawn(tx: Transaction, calls: Sequence[Call], revisions: Revisions, now_us: int) -> list[list[bool] | None]:
    """Make those children that these calls have not made before. False for one that has ended already, None for a stale call."""
    ids = {call.run: [child.id(call.run) for child in call.children] for call in calls}
    runs = with_kin(tx, sorted({*ids, *(id for each in ids.values() for id in each)}))
    heads = history.heads_of(tx, [*runs.values()])
    by: dict[str, str] = dict(rows(tx, _CALLS, [id for each in ids.values() for id in each if id in runs]))
    answers: list[list[bool] | None] = []
    new: list[Wanted] = []
    for call in calls:
        if not is_held(runs, Lease(call.run, call.token)):
            answers.append(None)
            continue
        wanted = shared.wanted(call, runs[call.run], runs, by)
        tx.execute(_ADOPT, (call.id, [*wanted.adopted]))
        new += [wanted] if wanted.children else []
        answers.append([*wanted.pending])
    history.append(tx, now_us, [each.told for each in new], heads)
    if new:
        _enter(tx, new, revisions)
    return answers


def _enter(tx: Transaction, calls: Sequence[Wanted], revisions: Revisions) -> None:
    files = {id: facts for id, *facts in rows(tx, _FILES, [each.parent.history for each in calls])}
    work = [(files[each.parent.history][0], child_cost(child.size)) for each in calls for child in each.children]
    ranks = iter(rank.enter(tx, work))
    state, status = map(str, QUEUED)
    tally = Tally()
    new, again = [], []
    for each in calls:
        parent, call = each.parent, each.call.id
        for (id, child), r in zip(each.new, ranks):
            place = id, files[parent.history][1], child.size, lane(child.size), r, state, status
            born = checkpoint(child), revisions[child.revision, child.pipeline], parent.id, parent.history
            new.append((*place, *born, call, row.from_child(child), parent.group))
            tally.spawned(QUEUED)
        for (found, child), r in zip(each.again, ranks):
            begun = checkpoint(child), revisions[child.revision, child.pipeline], call, row.from_child(child)
            again.append((found.id, lane(child.size), r, child.size, *begun))
            found.move(QUEUED, tally)
    more = [(each.parent.id, len(each.children)) for each in calls]
    for sql, changes in ((_NEW, new), (_AGAIN, again), (_MORE, more)):
        if changes:
            tx.execute(sql, columns(changes))
    figure.write(tx, tally)


def ended(
    tx: Transaction, ended: Sequence[Found], waiting: Collection[str], runs: Mapping[str, Found], tally: Tally
) -> list[Found]:
    """
    These of `runs`, which are locked with their kin, have ended just now, and those `waiting` begin to wait: whoever waits, and has
    none left to wait for, is ready. Answers who that is: they enter the queue.
    """
    parents = fewer(ended)
    if not parents and not waiting:
        return []
    if parents:
        crash.point("ledger.waking")
    now_ended = {found.id for found in ended}
    left = {id: runs[id].waits - parents.get(id, 0) for id in sorted({*parents, *waiting})}
    waits = {id for id in left if id in waiting or (runs[id].place == WAITING and id not in now_ended)}
    ready = [runs[id] for id in left if id in waits and not left[id]]
    places = {found.id: map(str, QUEUED) for found in ready}
    tx.execute(_FEWER, columns([(id, n, *places.get(id, (None, None))) for id, n in left.items()]))
    for found in ready:
        tally.moved(WAITING, QUEUED, is_child=found.parent is not None)
    return ready


def resumed(ready: Sequence[Found]) -> list[Told]:
    """What is to be told of those that wait no more."""
    return [found.told("resumed", {}) for found in ready]


def family(db: Transaction, run: str, call: str) -> Family:
    """What became of the children of one call."""
    asked = (sql.replace("?", "%s") for sql in (shared.COUNTS, shared.TROUBLED, shared.OUTPUTS, CLASH))
    return shared.family(*(rows(db, sql, run, call) for sql in asked))
