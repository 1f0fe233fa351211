"""Tells the world what became of files: a line in the log for each, and figures for the meter."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from wharfinger.model import Arrival, Outcome, Run, State, Status
from wharfinger.telemetry.facts import facts
from wharfinger.telemetry.meter import Meter

LEVELS: Mapping[str, int] = {
    "transferred": logging.INFO,
    "incomplete": logging.WARNING,
    "retry": logging.INFO,
    "held": logging.DEBUG,
    "waiting": logging.DEBUG,
    "unrouted": logging.WARNING,
    "failed": logging.WARNING,
    "quarantined": logging.WARNING,
}
"""How loud each end is; the words are those of the file's history, but for a transfer without some of the child runs."""

_log = logging.getLogger(__name__)


def report(
    runs: Mapping[str, Run], outcomes: Sequence[Outcome], answers: Sequence[bool], meter: Meter, *, now: float
) -> None:
    """Tell of those outcomes that the ledger took; `runs` by id, `now` in epoch s."""
    for outcome, is_taken in zip(outcomes, answers):
        if is_taken:
            _tell(runs[outcome.run], outcome, meter, now)


def _tell(run: Run, outcome: Outcome, meter: Meter, now: float) -> None:
    arrival, became, seconds = run.arrival, _became(outcome), max(0.0, now - run.arrival.at)
    level = LEVELS["incomplete" if became == "transferred" and outcome.failure else became]
    if run.child:  # the file has one line of its own, when its own run ends
        is_amiss = level > logging.INFO or became == "retry"
        became, level = f"child.{became}", logging.INFO if is_amiss else logging.DEBUG
    meter.settled(outcome.pipeline, became, seconds)
    for step in outcome.steps:
        if step.outcome != "skipped":
            meter.stepped(outcome.pipeline, step.name, step.seconds)
    if _log.isEnabledFor(level):
        _log.log(level, became, extra=facts(**_story(arrival, outcome, seconds)))


def _became(outcome: Outcome) -> str:
    match outcome.state, outcome.status:
        case State.READY, _:
            return "retry"
        case State.WAITING, Status.UPLOADED:
            return "unrouted"
        case State.WAITING, Status.QUEUED:
            return "held"
        case State.WAITING, _:
            return "waiting"
        case _, status:
            return str(status)


def _story(arrival: Arrival, outcome: Outcome, seconds: float) -> Mapping[str, Any]:
    story: dict[str, Any] = {
        "file_id": arrival.file_id,
        "customer_id": arrival.customer,
        "key": arrival.key,
        "size": arrival.size,
        "status": str(outcome.status),
        "pipeline": outcome.pipeline,
        "seconds": round(seconds, 3),
    }
    if outcome.failure:
        story |= {"code": outcome.failure.code, "why": outcome.failure.message, "step": outcome.failure.step}
    return story
