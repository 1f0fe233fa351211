"""What the log and the figures tell of sign-ins, and how much of it at most."""

from __future__ import annotations

import logging

import pytest

from rig.databases import Clock
from wharfinger.ingest.sftp.signin import NAME, Attempt, SignIns
from wharfinger.telemetry.facts import facts_of
from wharfinger.telemetry.meter import Silent
from wharfinger.telemetry.throttle import MOST, WINDOW_S


class Counting(Silent):
    def __init__(self) -> None:
        self.results: list[str] = []

    def signed_in(self, result: str) -> None:
        self.results.append(result)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_each_is_told_once_with_user_method_and_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wharfinger")
    meter = Counting()
    signins = SignIns(meter)
    good = Attempt("192.0.2.1", "ann", is_known=True)
    assert not good.tried("password", opens=False)
    assert good.tried("publickey", opens=True, fingerprint="SHA256:x")
    signins.accepted(good)
    signins.refused(Attempt("192.0.2.2", "x" * 1000))
    assert lines(caplog) == [("INFO", "sign-in accepted"), ("WARNING", "sign-in refused")]
    accepted, refused = map(facts_of, caplog.records)
    common = {"user": "ann", "method": "publickey", "address": "192.0.2.1"}
    assert accepted == {**common, "fingerprint": "SHA256:x", "wrong": 1}
    assert refused["user"] == "x" * NAME
    assert meter.results == ["accepted", "refused"]


@pytest.mark.parametrize(
    ("attempt", "why"),
    [
        (Attempt(user="x"), "no such user, or disabled"),
        (Attempt(user="x", is_known=True), "it offered nothing that is taken here"),
        (Attempt(user="x", is_known=True, method="password"), "wrong password"),
        (Attempt(user="x", is_known=True, method="publickey"), "not a key of this user"),
        (Attempt(user="x", is_known=True, method="publickey", is_open=True), "it left before the end"),
    ],
)
def test_the_operator_learns_why(attempt: Attempt, why: str) -> None:
    assert attempt.why == why


def test_a_flood_is_counted_and_not_told_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    clock, meter = Clock(), Counting()
    signins = SignIns(meter, clock)
    for _ in range(MOST + 1000):
        signins.refused(Attempt("192.0.2.2", "root"))
    assert len(caplog.records) == MOST
    clock.forward(WINDOW_S)
    signins.look()
    signins.look()
    assert lines(caplog)[MOST:] == [("WARNING", "more sign-ins were refused")]
    assert facts_of(caplog.records[-1]) == {"count": 1000}
    signins.refused(Attempt("192.0.2.2", "root"))
    signins.close()
    assert len(caplog.records) == MOST + 2
    assert len(meter.results) == MOST + 1001
