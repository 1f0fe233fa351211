"""What became of claimed runs, if the claim was still the latest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from wharfinger.ledger import chain
from wharfinger.ledger.sqlite import history, rank, row
from wharfinger.ledger.sqlite.figure import Tally
from wharfinger.ledger.sqlite.history import Told
from wharfinger.ledger.sqlite.run import UNCLAIMED, Found, named
from wharfinger.model import Outcome, State, Status

LEGAL: Mapping[State, frozenset[Status]] = {
    State.DONE: frozenset({Status.TRANSFERRED}),
    State.DEAD: frozenset({Status.FAILED, Status.QUARANTINED}),
    State.READY: frozenset({Status.PROCESSING}),
    State.WAITING: frozenset({Status.UPLOADED}),
}
"""What an outcome may say of the file, by the state it gives the run."""

_SETTLE = f"""
UPDATE run SET {UNCLAIMED}, state = ?1, status = ?2, due = ?3, tries = tries + ?4, revision = ?5, error = ?6,
  transferred = ?7, rank = coalesce(?8, rank) WHERE id = ?9
"""

_KINDS = {State.READY: "retry", State.WAITING: "unrouted"}


def check(outcomes: Sequence[Outcome]) -> None:
    """Raise ValueError where state and status contradict each other."""
    for o in outcomes:
        if o.status not in LEGAL.get(o.state, ()):
            raise ValueError(f"run {o.run}: state {o.state} does not go with a file that is {o.status}")


def settle(
    tx: apsw.Connection, outcomes: Sequence[Outcome], revisions: Mapping[tuple[str, str], int], now_us: int
) -> list[bool]:
    """Record each outcome whose token is the latest; of the others, that they came too late."""
    runs = named(tx, [o.run for o in outcomes])
    accepted: dict[str, Outcome] = {}
    told = []
    for o in outcomes:
        found = runs.get(o.run)
        if found is None:
            continue
        if found.state == State.LEASED and found.token == o.token and o.run not in accepted:
            accepted[o.run] = o
            revision = revisions.get((o.revision, o.pipeline))
            told.append(Told(o.run, _KINDS.get(o.state, o.status), _story(o, found), revision))
        else:
            told.append(Told(o.run, "stale", {"token": o.token, "latest": found.token, "outcome": o.state}))
    _write(tx, [*accepted.values()], runs, revisions, now_us)
    history.append(tx, now_us, told)
    return [accepted.get(o.run) is o for o in outcomes]


def _write(
    tx: apsw.Connection,
    outcomes: Sequence[Outcome],
    runs: Mapping[str, Found],
    revisions: Mapping[tuple[str, str], int],
    now_us: int,
) -> None:
    ranks = rank.enter_again(tx, [o.run for o in outcomes if o.state == State.READY])
    tally = Tally()
    rows = []
    for o in outcomes:
        tally.moved(runs[o.run].place, (o.state, o.status))
        due = None if o.due is None or o.state != State.READY else row.micros(o.due)
        revision = revisions.get((o.revision, o.pipeline))
        at = now_us if o.state == State.DONE else None
        rows.append((o.state, o.status, due, _is_try(o), revision, _error(o), at, ranks.get(o.run), o.run))
    tx.executemany(_SETTLE, rows)
    tally.write(tx)


def _is_try(o: Outcome) -> bool:
    return o.counts if o.state == State.READY else o.state != State.WAITING


def _error(o: Outcome) -> str:
    return f"{o.failure.code}: {_readable(o.failure.message)}" if o.failure else ""


def _story(o: Outcome, found: Found) -> dict[str, Any]:
    """What the event tells: all that is not empty."""
    failure = o.failure and {"code": o.failure.code, "message": _readable(o.failure.message), "step": o.failure.step}
    story = {
        **found.claim,
        "steps": [row.fields(step) for step in o.steps],
        "delivered": [row.fields(d) for d in o.delivered],
        "facts": _facts(o),
        "error": failure,
        "due": o.due,
    }
    named = {"pipeline": o.pipeline, "revision": o.revision} if o.pipeline else {}
    return named | {key: value for key, value in story.items() if value}


def _facts(o: Outcome) -> Mapping[str, Any]:
    """What JSON cannot hold is kept as text, so that one file's odd metadata cannot fail its neighbours."""
    try:
        chain.canonical(o.facts)
    except TypeError:
        return {"unreadable": ascii(o.facts)}
    return o.facts


def _readable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
