from __future__ import annotations

import time

from rig.waiting import wait_until
from rig.yard import Yard
from wharfinger.engine.sweep import sweep
from wharfinger.ledger.hint import Hint


def test_all_that_a_dead_owner_held_comes_back_at_once(yard: Yard) -> None:
    yard.land({f"{n:03d}": b"" for n in range(250)})
    held = [run.id for _ in range(3) for run in yard.ledger.claim("dead", 100, 60.0)]
    yard.land({"later": b""})
    yard.ledger.claim("alive", 1, 60.0)
    assert sorted(sweep(yard.ledger, yard.hint, owner="dead")) == sorted(held)
    assert sweep(yard.ledger, yard.hint, owner="dead") == []
    assert yard.records()["later"].owner == "alive"


def test_an_ended_lease_comes_back_and_a_worker_is_woken(yard: Yard) -> None:
    waiting = Hint(yard.root / "run")
    waiting.receive(0.01)
    yard.land({"a": b""})
    yard.ledger.claim("slow", 1, 0.05)
    waiting.receive(0.01)
    wait_until("its lease ends", lambda: sweep(yard.ledger, yard.hint), seconds=10)
    started = time.monotonic()
    assert waiting.receive(10)
    assert time.monotonic() - started < 5
    waiting.close()
