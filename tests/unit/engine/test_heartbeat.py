from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from rig.waiting import wait_until
from rig.yard import PIPELINES, STEPS, Yard, a_pipeline, a_step, bound
from wharfinger.engine import heartbeat, worker
from wharfinger.engine.heartbeat import Heartbeat, Watch
from wharfinger.engine.lease import Leases
from wharfinger.errors import Busy
from wharfinger.steps import Output, Reader, Result, Scratch


class Beaten:
    """What a heartbeat does, told to a list."""

    def __init__(self, yard: Yard, lease_s: float = 30.0) -> None:
        self.now = 100.0
        self.swept = 0
        self.released: list[str] = []
        self.leases = Leases(yard.ledger, lease_s, clock=lambda: self.now)
        self.watch = Watch(self._overrun, clock=lambda: self.now)
        self.heart = Heartbeat(
            self.leases, self.watch, sweep=self._sweep, released=self.released.extend, clock=lambda: self.now
        )

    def _overrun(self, _: Any) -> None:
        raise AssertionError

    def _sweep(self) -> None:
        self.swept += 1


def test_the_sweeper_comes_each_second(yard: Yard) -> None:
    beaten = Beaten(yard)
    for _ in range(41):
        beaten.heart.beat()
        beaten.now += 0.0501
    assert beaten.swept == 3


def test_the_first_beat_after_the_patience_gives_back(yard: Yard) -> None:
    beaten = Beaten(yard)
    yard.land({"a": b"", "b": b""})
    beaten.leases.take(yard.ledger.claim("tester", 2, 30), beaten.now)
    beaten.heart.beat()
    assert beaten.released == []
    beaten.now += heartbeat.PATIENCE_S
    beaten.heart.beat()
    assert len(beaten.released) == 2


def test_what_outlasts_the_grace_is_given_back_and_no_crash_is_counted(yard: Yard) -> None:
    yard.land({"long": b"sleep 20"})
    now = [100.0]
    leases = Leases(yard.ledger, 30.0, clock=lambda: now[0])
    heart = Heartbeat(
        leases, Watch(lambda _: None), sweep=lambda: None, released=yard.hint.send, grace_s=25, clock=lambda: now[0]
    )
    for _ in range(3):
        (run,) = yard.ledger.claim("tester", 1, 30.0)
        leases.take([run], now[0])
        leases.closed, heart._yield_at = False, None
        assert leases.begin(run.id)
        leases.closed = True
        heart.beat()
        now[0] += 24.9
        heart.beat()
        assert leases.holds(run.id)
        now[0] += 0.2
        heart.beat()
        assert not leases.holds(run.id)
        yard.ledger.sweep(owner="tester")  # the supervisor has killed it
        assert yard.statuses() == {"long": "queued"}
    (run,) = yard.ledger.claim("tester", 1, 30.0)
    assert (run.crashes, run.tries, run.solo) == (0, 0, False)


def test_a_busy_ledger_stops_no_heart(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: Any) -> Any:
        raise Busy("storm")

    beaten = Beaten(yard, lease_s=1.0)
    yard.land({"a": b"", "b": b""})
    runs = yard.ledger.claim("tester", 2, 1.0)
    beaten.leases.take(runs, beaten.now)
    beaten.leases.begin(runs[0].id)
    beaten.now += 0.5
    with monkeypatch.context() as patch:
        patch.setattr(yard.ledger, "extend", busy)
        patch.setattr(yard.ledger, "release", busy)
        beaten.heart.beat()
    assert beaten.swept == 1
    assert beaten.released == []
    beaten.heart.beat()
    assert beaten.released == [runs[1].id]
    assert beaten.leases.holds(runs[0].id)


def test_a_heart_beats_while_it_is_entered(yard: Yard) -> None:
    beaten = Beaten(yard)
    with beaten.heart:
        wait_until("it sweeps", lambda: beaten.swept)
    assert beaten.swept == 1


def test_a_slow_file_holds_no_hostages(yard: Yard) -> None:
    """Another worker finishes the neighbours of a slow file while that is still running."""

    def slow(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        if inputs[0].read() == b"slow":
            other = yard.worker(PIPELINES["plain"], owner="other")
            wait_until("the others are done", lambda: (other.turn() and False) or delivered() == 9)
        return Result([Output.unchanged(inputs[0])])

    def delivered() -> int:
        return list(yard.statuses().values()).count("transferred")

    yard.land({"slow": b"slow"})
    yard.land({str(n): b"fine" for n in range(9)})
    steps = {**STEPS, "slow": a_step("slow", slow)}
    first = yard.worker(a_pipeline(bound("slow"), bound("send", "out")), steps=steps, owner="first", batch=10)
    first_heart = Heartbeat(first._leases, first._watch, sweep=lambda: None, released=yard.hint.send)
    with first_heart:
        assert first.turn() == 10
    assert set(yard.statuses().values()) == {"transferred"}
    assert yard.history("slow") == ["arrived", "transferred"]
    yard.land({str(n): b"fine" for n in range(20, 23)})
    assert first.turn() == 1  # it has learned


def test_a_step_past_its_time_ends_the_process_and_is_settled_alone(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the real world `os._exit` does not return; here the step is let go, and finds that the run is no longer its own."""

    def endless(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        if inputs[0].read() == b"endless":
            beat_at = time.monotonic() + 400
            slow._watch._clock = lambda: beat_at
            slow._watch.check()
        return Result([Output.unchanged(inputs[0])])

    exits: list[int] = []
    monkeypatch.setattr(worker.os, "_exit", exits.append)
    yard.land({"a": b"fine", "endless": b"endless", "z": b"fine"})
    steps = {**STEPS, "endless": a_step("endless", endless)}
    slow = yard.worker(a_pipeline(bound("endless"), bound("send", "out")), steps=steps, rand=lambda: 0.5)
    slow.turn()
    assert exits == [worker.OVERRUN]
    assert yard.records()["endless"].error_message == "STEP_TIMEOUT: the step was still running after 300 s"
    assert yard.history("endless") == ["arrived", "retry"]
    assert yard.statuses() == {"a": "queued", "endless": "processing", "z": "queued"}
    assert yard.visible() == {}
