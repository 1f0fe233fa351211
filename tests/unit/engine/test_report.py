from __future__ import annotations

import logging
from typing import Any

import pytest

from rig.databases import START, an_arrival
from wharfinger.engine.report import report
from wharfinger.model import Arrival, Failure, Outcome, Run, State, Status, StepRecord
from wharfinger.telemetry.facts import facts_of

STEPS = (StepRecord("unpack", "decompress@1", 0.25, "ok"), StepRecord("never", "rename@1", 0.0, "skipped"))
FAILURE = Failure("UNREACHABLE", "no route to host", "deliver")


class Written:
    """A Meter that writes everything down."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def settled(self, pipeline: str, became: str, seconds: float) -> None:
        self.seen.append((pipeline, became, seconds))

    def stepped(self, pipeline: str, step: str, seconds: float) -> None:
        self.seen.append((pipeline, step, seconds))

    def sessions(self, count: int) -> None:
        raise AssertionError(count)


def outcome(arrival: Arrival, state: State, status: Status, **more: Any) -> Outcome:
    return Outcome(arrival.file_id, 1, state, status, "claims", "f" * 64, **more)


def told(meter: Written, arrival: Arrival, outcome: Outcome, *, taken: bool = True) -> None:
    run = Run(arrival.file_id, arrival, 1, START + 30, 0, 0, False)
    report({run.id: run}, [outcome], [taken], meter, now=START + 2)


def test_a_transferred_file_has_a_line_with_its_id_and_the_word(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wharfinger")
    arrival, meter = an_arrival("acme/inbound/a.csv"), Written()
    told(meter, arrival, outcome(arrival, State.DONE, Status.TRANSFERRED, steps=STEPS))
    [record] = caplog.records
    assert record.getMessage() == "transferred"
    assert facts_of(record) == {
        "file_id": arrival.file_id,
        "customer_id": "acme",
        "key": "acme/inbound/a.csv",
        "size": 1000,
        "status": "transferred",
        "pipeline": "claims",
        "seconds": 2.0,
    }
    assert meter.seen == [("claims", "transferred", 2.0), ("claims", "unpack", 0.25)]


@pytest.mark.parametrize(
    ("state", "status", "word", "level"),
    [
        (State.READY, Status.PROCESSING, "retry", logging.INFO),
        (State.WAITING, Status.UPLOADED, "unrouted", logging.WARNING),
        (State.WAITING, Status.QUEUED, "held", logging.DEBUG),
        (State.DEAD, Status.FAILED, "failed", logging.WARNING),
        (State.DEAD, Status.QUARANTINED, "quarantined", logging.WARNING),
    ],
)
def test_every_other_end_has_its_word_and_its_reason(
    caplog: pytest.LogCaptureFixture, state: State, status: Status, word: str, level: int
) -> None:
    caplog.set_level(logging.DEBUG, "wharfinger")
    arrival, meter = an_arrival(), Written()
    told(meter, arrival, outcome(arrival, state, status, failure=FAILURE))
    [record] = caplog.records
    assert (record.getMessage(), record.levelno) == (word, level)
    assert (facts_of(record)["code"], facts_of(record)["step"]) == ("UNREACHABLE", "deliver")
    assert meter.seen == [("claims", word, 2.0)]


def test_what_came_too_late_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "wharfinger")
    arrival, meter = an_arrival(), Written()
    told(meter, arrival, outcome(arrival, State.DONE, Status.TRANSFERRED, steps=STEPS), taken=False)
    assert (caplog.records, meter.seen) == ([], [])


def test_a_file_from_the_future_took_no_time() -> None:
    arrival, meter = an_arrival(at=START + 60), Written()
    told(meter, arrival, outcome(arrival, State.DONE, Status.TRANSFERRED))
    assert meter.seen == [("claims", "transferred", 0.0)]
