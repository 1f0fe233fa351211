from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from rig.yard import Yard
from wharfinger.engine.lease import Leases
from wharfinger.errors import Busy
from wharfinger.ledger import Ledger
from wharfinger.model import Checkpoint, State


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def claimed(yard: Yard, clock: Clock, count: int = 3, lease_s: float = 30.0) -> tuple[Leases, list[str]]:
    yard.land({str(n): b"bytes" for n in range(count)})
    leases = Leases(yard.ledger, lease_s, clock=clock)
    runs = yard.ledger.claim("tester", count, lease_s)
    leases.take(runs, clock.now)
    return leases, [run.id for run in runs]


def states(yard: Yard, runs: Sequence[str]) -> list[State]:
    return [record.state for run in runs if (record := yard.catalog.file(run))]


def test_a_run_that_has_begun_is_held(yard: Yard, clock: Clock) -> None:
    leases, runs = claimed(yard, clock)
    assert leases.begin(runs[0])
    assert leases.begin(runs[0])  # and goes on
    assert leases.holds(runs[0])
    assert not leases.holds(runs[1])
    assert not leases.begin("unknown")


def test_what_has_not_begun_is_given_back_when_the_patience_ends(yard: Yard, clock: Clock) -> None:
    leases, runs = claimed(yard, clock)
    leases.begin(runs[0])
    clock.now += 0.2
    assert leases.give_back(after_s=0.25) == []
    clock.now += 0.1
    assert leases.give_back(after_s=0.25) == runs[1:]
    assert leases.give_back(after_s=0.25) == []
    assert states(yard, runs) == [State.LEASED, State.READY, State.READY]
    assert [record.attempts for record in yard.records().values()] == [0, 0, 0]
    assert not leases.begin(runs[1])
    assert leases.begin(runs[0])


def test_what_could_not_be_given_back_goes_with_the_next_call(
    yard: Yard, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_leases: Any) -> Any:
        raise Busy("storm")

    leases, runs = claimed(yard, clock)
    with monkeypatch.context() as patch:
        patch.setattr(yard.ledger, "release", busy)
        with pytest.raises(Busy):
            leases.give_back()
    assert not leases.begin(runs[0])
    assert leases.give_back() == runs


def test_closed_leases_begin_nothing_new(yard: Yard, clock: Clock) -> None:
    leases, runs = claimed(yard, clock)
    leases.begin(runs[0])
    leases.closed = True
    assert not leases.begin(runs[1])
    assert leases.begin(runs[0])


def test_leases_are_renewed_after_a_third_of_their_time(
    yard: Yard, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases, _ = claimed(yard, clock)
    calls = counted(yard.ledger, "extend", monkeypatch)
    clock.now += 9
    leases.renew()
    assert not calls
    clock.now += 2
    leases.renew()
    leases.renew()
    assert len(calls) == 1
    clock.now += 29
    leases.confirm()
    assert len(calls) == 1
    clock.now += 2
    leases.confirm()
    assert len(calls) == 2


def counted(ledger: Ledger, name: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    def call(*args: Any, **kw: Any) -> Any:
        calls.append(args)
        return verb(*args, **kw)

    calls: list[Any] = []
    verb = getattr(ledger, name)
    monkeypatch.setattr(ledger, name, call)
    return calls


def test_without_runs_nothing_is_extended(yard: Yard, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(yard.ledger, "extend", monkeypatch)
    Leases(yard.ledger, 30, clock=clock).renew()
    assert not calls


def test_a_lost_run_is_dropped(yard: Yard, clock: Clock) -> None:
    leases, runs = claimed(yard, clock)
    leases.begin(runs[0])
    leases.begin(runs[1])
    yard.ledger.sweep(owner="tester")
    again = yard.ledger.claim("another", 1, 30)
    leases.extend()
    assert not any(map(leases.holds, runs))
    assert not leases.begin(runs[2])
    assert yard.ledger.extend([], 30) == []
    assert len(again) == 1


def test_an_answer_about_an_older_claim_does_not_touch_a_newer_one(
    yard: Yard, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def claim_meanwhile(older: Any, lease_s: float) -> Any:
        yard.ledger.release(older)
        leases.take(yard.ledger.claim("tester", 1, lease_s), clock.now)
        leases.begin(runs[0])
        return extend(older, lease_s)

    leases, runs = claimed(yard, clock, 1)
    leases.begin(runs[0])
    extend = yard.ledger.extend
    monkeypatch.setattr(yard.ledger, "extend", claim_meanwhile)
    leases.extend()
    assert leases.holds(runs[0])


def test_a_checkpoint_rides_on_the_extension(yard: Yard, clock: Clock) -> None:
    leases, runs = claimed(yard, clock, 2)
    leases.begin(runs[0])
    leases.extend({runs[0]: Checkpoint(1, (), {"step": {"a": 1}}, "revision")})
    assert sorted(leases.abandon()) == sorted(runs)
    found = {run.id: run.checkpoint for run in yard.ledger.claim("another", 2, 30)}
    assert found[runs[1]] is None
    assert found[runs[0]] == Checkpoint(1, (), {"step": {"a": 1}}, "revision")


def test_what_is_settled_is_no_longer_held(yard: Yard, clock: Clock) -> None:
    leases, runs = claimed(yard, clock)
    leases.begin(runs[0])
    leases.end()
    assert not leases.holds(runs[0])


def test_a_run_either_begins_or_goes_back_whoever_is_faster(yard: Yard, clock: Clock) -> None:
    leases, runs = claimed(yard, clock, 60)
    given: list[str] = []
    thread = threading.Thread(target=lambda: given.extend(leases.give_back()))
    begun = [run for n, run in enumerate(runs) if (n != 5 or thread.start() is None) and leases.begin(run)]
    thread.join()
    assert sorted(begun + given) == sorted(runs)
