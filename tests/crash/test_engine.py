"""Workers that are killed, stopped and hung, as processes of their own, on a real store and ledger."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rig import yard as rig
from rig.waiting import wait_until
from rig.yard import Yard, all_final, argv, effects, worker
from wharfinger.engine.supervise import Child, Notice, Supervisor
from wharfinger.engine.sweep import sweep
from wharfinger.ledger import LARGE
from wharfinger.model import State

pytestmark = pytest.mark.slow

FILES = {f"in/{n:02d}": b"bytes of %d" % n for n in range(12)}


def finish(yard: Yard, pipeline: str, **options: Any) -> None:
    with worker(yard, pipeline, **options) as process:
        wait_until("every file has ended", lambda: all_final(yard))
        process.terminate()
        assert process.wait(20) == 0


POINTS = [
    "worker.claimed",
    "worker.routed",
    "worker.stepped",
    "worker.stepped:2",
    "worker.stepped:4",
    "store.synced",
    "store.renamed",
    "worker.published",
    "worker.checkpointed",
    "worker.delivered",
    "worker.delivered:2",
    "target.synced",
    "target.renamed",
    "worker.noted",
    "ledger.settling",
    "worker.settled",
    "store.deleting",
    "worker.dropped",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_anywhere_loses_nothing_and_repeats_nothing(yard: Yard, point: str) -> None:
    yard.land(FILES)
    with worker(yard, "full", environ={"WHARF_CRASH": point, "WHARF_OWNER": "doomed"}) as doomed:
        assert doomed.wait(30) == -signal.SIGKILL
    before = effects(yard)
    sweep(yard.ledger, yard.hint, owner="doomed")
    finish(yard, "full")
    check_complete(yard)
    assert before.items() <= effects(yard).items()


def check_complete(yard: Yard) -> None:
    """As if nothing had happened."""
    expected = {f"acme/{name}": data.upper() for name, data in FILES.items()}
    assert set(yard.statuses().values()) == {"transferred"}
    assert yard.visible() == expected
    assert yard.lake() == {key: [data] for key, data in expected.items()}
    assert [record.attempts for record in yard.records().values()] == [1] * len(FILES)
    for name in FILES:
        assert yard.history(name).count("transferred") == 1
        assert [each.destination for each in yard.records()[name].delivered] == ["lake", "out"]
    assert [*(yard.root / "store" / "scratch").iterdir()] == [*yard.store.list("checkpoints")] == []


@pytest.mark.parametrize("point", ["sweeper.begun", "sweeper.swept"])
def test_what_a_dead_worker_held_is_free_after_its_lease_and_a_second(yard: Yard, point: str) -> None:
    yard.land(FILES)
    with worker(yard, "full", environ={"WHARF_CRASH": "worker.published"}) as doomed:
        assert doomed.wait(30) == -signal.SIGKILL
    with worker(yard, "full", environ={"WHARF_CRASH": point}) as sweeper:
        assert sweeper.wait(30) == -signal.SIGKILL
    died = time.monotonic()
    with worker(yard, "full"):
        wait_until(
            "nothing is leased to the dead", lambda: not yard.catalog.counts().runs[State.LEASED] or all_final(yard)
        )
        assert time.monotonic() - died < 1.0 + 1.0 + 2.0  # lease, sweep, and the start of a process
        wait_until("every file has ended", lambda: all_final(yard))
        wait_until("what checkpoints kept is gone", lambda: not [*yard.store.list("checkpoints")])
    check_complete_but_scratch(yard)


def check_complete_but_scratch(yard: Yard) -> None:
    for room in (yard.root / "store" / "scratch").iterdir():
        for path in sorted(room.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        room.rmdir()
    check_complete(yard)


def test_a_worker_that_was_stopped_past_its_lease_changes_nothing(yard: Yard) -> None:
    yard.land({"a": b"sleep 0.5"})
    with worker(yard, "obey", environ={"WHARF_OWNER": "zombie"}) as zombie:
        wait_until("the step runs", lambda: held_by(yard, "a") == "zombie")
        zombie.send_signal(signal.SIGSTOP)
        finish(yard, "obey")
        before, history = effects(yard), yard.history("a")
        zombie.send_signal(signal.SIGCONT)
        yard.land({"later": b"fine"})
        wait_until("the zombie works again", lambda: yard.statuses()["later"] == "transferred")
    assert before.items() <= effects(yard).items()
    assert history == ["arrived", "expired", "transferred"]
    assert yard.history("a") == history
    assert yard.visible() == {"acme/a": b"sleep 0.5", "acme/later": b"fine"}


def held_by(yard: Yard, name: str) -> str:
    return yard.records()[name].owner


def supervise(yard: Yard, *children: Child) -> list[Notice]:
    """Run these as `wharf serve` does, until every file has ended."""

    def stop_when_done() -> None:
        try:
            wait_until("every file has ended", lambda: all_final(yard))
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    notices: list[Notice] = []
    thread = threading.Thread(target=stop_when_done)
    supervisor = Supervisor(
        children,
        notice=lambda notice: notices.append(notice) or (thread.start() if len(notices) == 1 else None),
        bereaved=partial(sweep, yard.ledger, yard.hint),
        rand=lambda: 0.0,
    )
    supervisor.run()
    thread.join()
    return notices


def test_a_second_signal_ends_all_at_once_and_is_nobodys_crash(yard: Yard) -> None:
    yard.land({"long": b"sleep 60"})

    def hurry() -> None:
        wait_until("somebody has it", lambda: held_by(yard, "long"))
        for _ in range(2):
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=hurry)
    thread.start()
    child = Child("worker", argv(yard, "obey", lease_s=30.0), claims=True)
    bereaved = partial(sweep, yard.ledger, yard.hint)
    assert not Supervisor([child], notice=lambda _: None, bereaved=bereaved).run()
    thread.join()
    (run,) = yard.ledger.claim("next", 1, 30.0)
    assert (run.crashes, run.solo) == (0, False)
    assert yard.history("long") == ["arrived", "released"]


def test_a_step_that_kills_its_process_among_a_hundred_innocents_dies_alone(yard: Yard) -> None:
    yard.land(
        {**{f"{n:03d}": b"fine" for n in range(50)}, "050": b"kill", **{f"{n:03d}": b"fine" for n in range(51, 101)}}
    )
    child = Child("worker", argv(yard, "obey", lease_s=30.0), claims=True)
    notices = supervise(yard, child)
    statuses = yard.statuses()
    assert statuses.pop("050") == "quarantined"
    assert set(statuses.values()) == {"transferred"}
    assert yard.records()["050"].error_message.startswith("POISON")
    assert [notice.text for notice in notices if notice.kind == "died"] == ["killed by SIGKILL"] * 3
    assert [record.attempts for name, record in yard.records().items() if name != "050"] == [1] * 100


def test_a_step_past_its_time_costs_nobody_else_a_try(yard: Yard) -> None:
    yard.land({"a": b"fine", "b": b"sleep 60", "c": b"fine"})
    child = Child("worker", argv(yard, "hurry", lease_s=30.0), claims=True)
    notices = supervise(yard, child)
    records = yard.records()
    assert {name: record.status for name, record in records.items()} == {
        "a": "transferred",
        "b": "failed",
        "c": "transferred",
    }
    assert {name: record.attempts for name, record in records.items()} == {"a": 1, "b": 3, "c": 1}
    assert records["b"].error_message == "STEP_TIMEOUT: the step was still running after 0.2 s"
    assert [notice.text for notice in notices if notice.kind == "died"] == ["exit status 75"] * 3
    assert yard.history("b") == ["arrived", "retry", "retry", "failed"]


def test_a_worker_told_to_stop_finishes_what_has_begun(yard: Yard) -> None:
    yard.land({"a": b"sleep 3", "b": b"fine", "c": b"fine"})
    with worker(yard, "obey", lease_s=30.0) as process:
        wait_until("it has begun", lambda: held_by(yard, "a"))
        process.terminate()
        assert process.wait(20) == 0
    assert yard.statuses()["a"] == "transferred"
    assert yard.catalog.counts().runs[State.LEASED] == 0
    assert [record.attempts for record in yard.records().values()].count(0) == 2


def test_a_large_file_does_not_delay_small_ones(yard: Yard) -> None:
    yard.land({"large": b"sleep 60".ljust(LARGE + 1)})
    with worker(yard, "obey"), worker(yard, "obey", express=True):
        wait_until("the large one is being worked on", lambda: held_by(yard, "large"))
        yard.land({str(n): b"fine" for n in range(200)})
        wait_until("the small ones are there", lambda: list(yard.statuses().values()).count("transferred") == 200)
        assert yard.statuses()["large"] == "processing"


HANG = """
import sys
from rig import yard
from wharfinger.engine import heartbeat
heartbeat.STILL_S = 1.0
yard.work(sys.argv[1], "hang", {})
"""


def test_a_step_that_holds_the_interpreter_ends_with_its_process(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    environ = {**os.environ, "PYTHONPATH": str(Path(rig.__file__).parents[1]), "WHARF_OWNER": "hung"}
    hung = subprocess.run(
        [sys.executable, "-c", HANG, str(yard.root)], env=environ, stdout=subprocess.DEVNULL, timeout=30
    )
    assert hung.returncode == -signal.SIGALRM
    assert len(sweep(yard.ledger, yard.hint, owner="hung")) == 1
