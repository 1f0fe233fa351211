"""What became of claimed runs, if the claim was still the latest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wharfinger.ledger import outcome
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.group import left
from wharfinger.ledger.postgres import child, figure, gate, group, history, rank
from wharfinger.ledger.postgres.connection import Transaction, columns
from wharfinger.ledger.postgres.run import UNCLAIMED, with_kin
from wharfinger.ledger.run import Found
from wharfinger.model import Outcome, State

_SETTLE = f"""
UPDATE run SET {UNCLAIMED.replace("due = NULL", "due = o.due")}, state = o.state, status = o.status, tries = run.tries + o.tries,
  revision = o.revision, error = o.error, transferred = o.transferred, output = o.output,
  delivered = o.delivered
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::bigint[],
  %s::text[], %s::bigint[]) AS o(id, state, status, due, tries, revision, error, transferred, output, delivered)
WHERE run.id = o.id
"""


def settle(tx: Transaction, outcomes: Sequence[Outcome], revisions: outcome.Revisions, now_us: int) -> list[bool]:
    """Record each outcome whose token is the latest; of the others, that they came too late."""
    if any(map(outcome.is_held, outcomes)):
        outcomes = outcome.let_through(outcomes, gate.paused(tx))
    group.lock_of(tx, [o.run for o in outcomes])
    runs = with_kin(tx, sorted({o.run for o in outcomes}))
    heads = history.heads_of(tx, runs.values())
    accepted, told = outcome.judge(outcomes, runs, revisions)
    tally = Tally()
    if accepted:
        _write(tx, [*accepted.values()], runs, revisions, now_us, tally)
    ended = [runs[o.run] for o in accepted.values() if o.state in outcome.ENDS]
    ready = child.ended(tx, ended, {o.run for o in accepted.values() if outcome.is_waiting(o)}, runs, tally)
    history.append(tx, now_us, [*told, *child.resumed(ready)], heads)
    following = group.advance(tx, left((runs[o.run], (o.state, o.status)) for o in accepted.values()), now_us, tally)
    again = [o.run for o in accepted.values() if outcome.enters_again(o)]
    rank.enter_again(tx, [*again, *(found.id for found in ready), *following])
    figure.write(tx, tally)
    return [accepted.get(o.run) is o for o in outcomes]


def _write(
    tx: Transaction,
    outcomes: Sequence[Outcome],
    runs: Mapping[str, Found],
    revisions: outcome.Revisions,
    now_us: int,
    tally: Tally,
) -> None:
    changes = []
    for o in outcomes:
        runs[o.run].move((o.state, o.status), tally)
        tally.incomplete(outcome.is_incomplete(o, runs[o.run]))
        at = now_us if o.state == State.DONE else None
        what = (outcome.due(o), int(outcome.is_try(o)), outcome.number(o, revisions), outcome.error(o))
        output = outcome.output(o, runs[o.run]), outcome.output_size(o, runs[o.run])
        changes.append((o.run, str(o.state), str(o.status), *what, at, *output))
    tx.execute(_SETTLE, columns(changes))
