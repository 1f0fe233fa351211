"""What became of claimed runs, if the claim was still the latest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import apsw

from wharfinger.ledger import outcome
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.group import left
from wharfinger.ledger.run import Found
from wharfinger.ledger.sqlite import child, figure, gate, group, history, rank
from wharfinger.ledger.sqlite.run import UNCLAIMED, named
from wharfinger.model import Outcome, State

_SETTLE = f"""
UPDATE run SET {UNCLAIMED}, state = ?1, status = ?2, due = ?3, tries = tries + ?4, revision = ?5, error = ?6,
  transferred = ?7, rank = coalesce(?8, rank), output = ?9, delivered = ?10 WHERE id = ?11
"""


def settle(tx: apsw.Connection, outcomes: Sequence[Outcome], revisions: outcome.Revisions, now_us: int) -> list[bool]:
    """Record each outcome whose token is the latest; of the others, that they came too late."""
    if any(map(outcome.is_held, outcomes)):
        outcomes = outcome.let_through(outcomes, gate.paused(tx))
    runs = named(tx, [o.run for o in outcomes])
    accepted, told = outcome.judge(outcomes, runs, revisions)
    _write(tx, [*accepted.values()], runs, revisions, now_us)
    history.append(tx, now_us, told)
    child.ended(tx, [runs[o.run] for o in accepted.values() if o.state in outcome.ENDS], now_us)
    child.resume(tx, [o.run for o in accepted.values() if outcome.is_waiting(o)], now_us)
    group.advance(tx, left((runs[o.run], (o.state, o.status)) for o in accepted.values()), now_us)
    return [accepted.get(o.run) is o for o in outcomes]


def _write(
    tx: apsw.Connection,
    outcomes: Sequence[Outcome],
    runs: Mapping[str, Found],
    revisions: outcome.Revisions,
    now_us: int,
) -> None:
    ranks = rank.enter_again(tx, [o.run for o in outcomes if outcome.enters_again(o)])
    tally = Tally()
    rows = []
    for o in outcomes:
        runs[o.run].move((o.state, o.status), tally)
        tally.incomplete(outcome.is_incomplete(o, runs[o.run]))
        at = now_us if o.state == State.DONE else None
        what = (outcome.due(o), outcome.is_try(o), outcome.number(o, revisions), outcome.error(o))
        output = outcome.output(o, runs[o.run]), outcome.output_size(o, runs[o.run])
        rows.append((o.state, o.status, *what, at, ranks.get(o.run), *output, o.run))
    tx.executemany(_SETTLE, rows)
    figure.write(tx, tally)
