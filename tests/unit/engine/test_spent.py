from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from copy import copy
from itertools import pairwise

import pytest

from rig.databases import Clock
from rig.waiting import wait_until
from rig.yard import Yard, a_pipeline, bound
from wharfinger.config.entry import Retry
from wharfinger.engine.spent import LONGEST_REST_S, REST_S, Spent
from wharfinger.errors import StoreError, Unreachable
from wharfinger.ledger import MANY
from wharfinger.model import ObjectRef, Outcome, State, Status

Delete = Callable[[Sequence[ObjectRef]], None]


class Keeper:
    """Refuses to delete what it is told to hold, and counts how often it was asked."""

    def __init__(self, delete: Delete, error: Exception) -> None:
        self._delete, self._error = delete, error
        self.held: set[ObjectRef] = set()
        self.calls = 0

    def __call__(self, refs: Sequence[ObjectRef]) -> None:
        self.calls += 1
        if self.held & {*refs}:
            raise copy(self._error)
        self._delete(refs)


def spend(yard: Yard, runs: int) -> list[ObjectRef]:
    """What the checkpoints of so many runs keep, which have ended; by the runs' ids."""
    arrivals = yard.land({f"{n}": b"transient" for n in range(runs)})
    worker = yard.worker(a_pipeline(bound("upper", checkpoint=True), bound("obey"), retry=Retry(9, 0.5, 0.5)))
    while len(left(yard)) < runs:
        worker.turn()
    kept: dict[str, ObjectRef] = {}
    while len(kept) < runs:
        claimed = wait_until("the retries are due", lambda: yard.ledger.claim("dead", MANY, 30.0))
        kept |= {run.id: ref for run in claimed if run.checkpoint for ref in run.checkpoint.kept}
        yard.ledger.settle([Outcome(run.id, run.token, State.DEAD, Status.FAILED) for run in claimed])
    return [kept[arrival.file_id] for arrival in sorted(arrivals, key=lambda arrival: arrival.file_id)]


def left(yard: Yard) -> set[ObjectRef]:
    return {listed.ref for listed in yard.store.list("checkpoints")}


@pytest.fixture
def clock() -> Clock:
    return Clock()


NOBODYS = [Unreachable("away"), StoreError("held", code="NOT_PERMITTED")]


@pytest.mark.parametrize("error", NOBODYS, ids=lambda error: error.code)
def test_a_store_that_refuses_is_asked_once_and_then_left_alone_for_longer_and_longer(
    yard: Yard, clock: Clock, monkeypatch: pytest.MonkeyPatch, error: StoreError
) -> None:
    keeper = Keeper(yard.store.delete, error)
    keeper.held = {*spend(yard, 3)}
    monkeypatch.setattr(yard.store, "delete", keeper)
    spent, asked = Spent(yard.ledger, yard.store, monotonic=clock), []
    for second in range(4 * 3600):
        clock.forward(1)
        spent.remove()
        if keeper.calls > len(asked):
            asked.append(second)
    rests = [later - earlier for earlier, later in pairwise(asked)]
    assert keeper.calls == len(asked)
    assert rests[0] <= REST_S + 3
    assert rests == sorted(rests)
    assert rests[-1] == pytest.approx(LONGEST_REST_S, abs=3)
    keeper.held = set()
    clock.forward(LONGEST_REST_S)
    for _ in range(2):
        spent.remove()
    assert left(yard) == set()


def test_what_is_held_keeps_nothing_that_comes_after_it(
    yard: Yard, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Keeper(yard.store.delete, NOBODYS[1])
    refs = spend(yard, MANY + 20)
    keeper.held = {*refs[:MANY]}
    monkeypatch.setattr(yard.store, "delete", keeper)
    spent = Spent(yard.ledger, yard.store, monotonic=clock)
    spent.remove()
    clock.forward(REST_S)
    spent.remove()
    assert left(yard) == keeper.held
    assert keeper.calls == 2


def test_what_is_refused_for_its_own_sake_is_the_only_one_that_stays(
    yard: Yard, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Keeper(yard.store.delete, StoreError("it is a folder"))
    keeper.held = {spend(yard, 8)[3]}
    monkeypatch.setattr(yard.store, "delete", keeper)
    spent = Spent(yard.ledger, yard.store, monotonic=clock)
    spent.remove()
    assert left(yard) == keeper.held
    tried = keeper.calls
    for _ in range(10):
        spent.remove()
    assert keeper.calls == tried


def test_the_log_tells_once_that_it_begins_and_once_that_it_is_over(
    yard: Yard, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = Keeper(yard.store.delete, NOBODYS[1])
    keeper.held = {*spend(yard, 1)}
    monkeypatch.setattr(yard.store, "delete", keeper)
    spent = Spent(yard.ledger, yard.store, monotonic=clock)
    for _ in range(5):
        spent.remove()
        clock.forward(LONGEST_REST_S)
    keeper.held = set()
    for _ in range(5):
        spent.remove()
        clock.forward(LONGEST_REST_S)
    told = [record.levelno for record in caplog.records if record.name == "wharfinger.engine.spent"]
    assert told == [logging.ERROR, logging.WARNING]
