"""What outcomes may say, which of them count, and what is told of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from wharfinger.ledger import MANY, chain, row
from wharfinger.ledger.figure import Place
from wharfinger.ledger.history import Told
from wharfinger.ledger.run import HELD, QUEUED, RETRIED, UNROUTED, WAITING, Found
from wharfinger.model import Failure, Outcome, State, Status
from wharfinger.names import readable

LEGAL: Mapping[State, frozenset[Status]] = {
    State.DONE: frozenset({Status.TRANSFERRED}),
    State.DEAD: frozenset({Status.FAILED, Status.QUARANTINED}),
    State.READY: frozenset({Status.PROCESSING}),
    State.WAITING: frozenset({Status.UPLOADED, Status.QUEUED, Status.PROCESSING}),
}
"""What an outcome may say of the file, by the state it gives the run."""

ENDS = frozenset({State.DONE, State.DEAD})
"""With these a run has come to its end."""

_KINDS: Mapping[Place, str] = {
    RETRIED: "retry",
    UNROUTED: "unrouted",
    HELD: "held",
    QUEUED: "released",
    WAITING: "waiting",
}
"""What the history calls it, where the file's status does not say it."""

Revisions = Mapping[tuple[str, str], int]
"""The number of each (revision, pipeline)."""


def check(outcomes: Sequence[Outcome]) -> None:
    """Raise ValueError where state and status contradict each other."""
    for o in outcomes:
        if o.status not in LEGAL.get(o.state, ()):
            raise ValueError(f"run {o.run}: state {o.state} does not go with a file that is {o.status}")


def judge(
    outcomes: Sequence[Outcome], runs: Mapping[str, Found], revisions: Revisions
) -> tuple[dict[str, Outcome], list[Told]]:
    """Those whose token is the latest, by run; and the events of all: of the others, that they came too late."""
    accepted: dict[str, Outcome] = {}
    told = []
    for o in outcomes:
        found = runs.get(o.run)
        if found is None:
            continue
        if found.state == State.LEASED and found.token == o.token and o.run not in accepted:
            accepted[o.run] = o
            told.append(found.told(_kind(o), _story(o, found), number(o, revisions)))
        else:
            told.append(found.told("stale", {"token": o.token, "latest": found.token, "outcome": o.state}))
    return accepted, told


def is_waiting(o: Outcome) -> bool:
    """Whether the run waits for children."""
    return (o.state, o.status) == WAITING


def is_held(o: Outcome) -> bool:
    """Whether the run is put aside for a paused pipeline."""
    return (o.state, o.status) == HELD


def let_through(outcomes: Sequence[Outcome], paused: Collection[str]) -> Sequence[Outcome]:
    """
    The same outcomes, but for runs that a worker puts aside for a pipeline which was resumed since it asked: nobody would wake them, so
    they are in line again.
    """
    return [
        replace(o, state=State.READY, status=Status.QUEUED, counts=False)
        if is_held(o) and o.pipeline not in paused
        else o
        for o in outcomes
    ]


def output(o: Outcome, found: Found) -> str | None:
    """What a child has delivered, for its parent to tell."""
    if found.parent is None or o.state != State.DONE:
        return None
    return orjson.dumps(o.delivered[:MANY]).decode()


def output_size(o: Outcome, found: Found) -> int:
    """How many deliveries `output` is of, all told."""
    return 0 if output(o, found) is None else len(o.delivered) + o.unnamed


def is_incomplete(o: Outcome, found: Found) -> bool:
    """Whether a file is transferred, but for children that did not succeed."""
    return o.state == State.DONE and o.failure is not None and found.parent is None


def number(o: Outcome, revisions: Revisions) -> int | None:
    """Of the revision that the run was done by."""
    return revisions.get((o.revision, o.pipeline))


def due(o: Outcome) -> int | None:
    """When a retry may begin; µs."""
    return None if o.due is None or o.state != State.READY else row.micros(o.due)


def enters_again(o: Outcome) -> bool:
    """Whether the run takes a new place in line, as a retry does."""
    return (o.state, o.status) == RETRIED


def is_try(o: Outcome) -> bool:
    """Whether it adds one to the run's tries."""
    return o.counts if o.state == State.READY else o.state != State.WAITING


def error(o: Outcome) -> str:
    """The failure in one line; "" where there is none."""
    return line(o.failure)


def line(failure: Failure | None) -> str:
    """The failure as "CODE: message"; "" where there is none."""
    return f"{failure.code}: {readable(failure.message)}" if failure else ""


def _kind(o: Outcome) -> str:
    return _KINDS.get((o.state, o.status), o.status)


def _story(o: Outcome, found: Found) -> dict[str, Any]:
    """What the event tells: all that is not empty."""
    failure = o.failure and {"code": o.failure.code, "message": readable(o.failure.message), "step": o.failure.step}
    story = {
        **found.claim,
        "steps": [row.fields(step) for step in o.steps],
        **row.from_delivered(o.delivered, o.unnamed),
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
