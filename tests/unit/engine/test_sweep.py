from __future__ import annotations

import time

import pytest

from rig.databases import Clock, arrived
from rig.waiting import wait_until
from rig.yard import Yard
from wharfinger.engine.sweep import Sweeper, sweep
from wharfinger.errors import Busy
from wharfinger.ledger import POISON_CRASHES
from wharfinger.ledger.hint import DatagramHint
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import Status


def test_all_that_a_dead_owner_held_comes_back_at_once(yard: Yard) -> None:
    yard.land({f"{n:03d}": b"" for n in range(250)})
    held = [run.id for _ in range(3) for run in yard.ledger.claim("dead", 100, 60.0)]
    yard.land({"later": b""})
    yard.ledger.claim("alive", 1, 60.0)
    assert sorted(sweep(yard.ledger, yard.hint, owner="dead")) == sorted(held)
    assert sweep(yard.ledger, yard.hint, owner="dead") == []
    assert yard.records()["later"].owner == "alive"


def test_an_ended_lease_comes_back_and_a_worker_is_woken(yard: Yard) -> None:
    waiting = DatagramHint(yard.root / "run")
    waiting.receive(0.01)
    yard.land({"a": b""})
    yard.ledger.claim("slow", 1, 0.05)
    waiting.receive(0.01)
    wait_until("its lease ends", lambda: sweep(yard.ledger, yard.hint), seconds=10)
    started = time.monotonic()
    assert waiting.receive(10)
    assert time.monotonic() - started < 5
    waiting.close()


@pytest.mark.parametrize(
    ("leaps", "status"), [(True, Status.QUEUED), (False, Status.QUARANTINED)], ids=["the clock leaps", "time passes"]
)
def test_a_lease_that_a_leap_of_the_clock_ends_is_no_crash(yard: Yard, leaps: bool, status: Status) -> None:
    wall, monotonic = Clock(), Clock()
    database = SqliteDatabase(yard.root / "leaping.db", clock=wall)
    sweeper = Sweeper(database.ledger, yard.hint, clock=wall, monotonic=monotonic)
    (arrival,) = arrived(database.ledger)
    for _ in range(POISON_CRASHES + 1):
        assert [run.id for run in database.ledger.claim("worker", 1, 30.0)] == [arrival.file_id]
        assert sweeper() == []
        wall.forward(3600)
        monotonic.forward(0.0 if leaps else 3600)
        assert sweeper() == [arrival.file_id]
    record = database.catalog.file(arrival.file_id)
    database.close()
    assert record
    assert record.status is status


def test_a_lease_that_ends_while_nobody_can_reach_the_ledger_is_no_crash(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: object) -> list[str]:
        raise Busy("the server is away")

    clock = Clock()
    database = SqliteDatabase(yard.root / "away.db", clock=clock)
    sweeper = Sweeper(database.ledger, yard.hint)
    (arrival,) = arrived(database.ledger)
    for _ in range(POISON_CRASHES + 1):
        database.ledger.claim("worker", 1, 30.0)
        clock.forward(60)
        with monkeypatch.context() as patch:
            patch.setattr(database.ledger, "sweep", away)
            with pytest.raises(Busy):
                sweeper()
        assert sweeper() == [arrival.file_id]
    database.ledger.claim("worker", 1, 30.0)
    clock.forward(60)
    assert sweeper() == [arrival.file_id]
    kinds = [event.kind for event in database.catalog.events(arrival.file_id)]
    database.close()
    assert kinds == ["arrived", *["released"] * (POISON_CRASHES + 1), "expired"]
