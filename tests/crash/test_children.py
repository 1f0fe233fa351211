"""Workers killed anywhere between a call and what comes of it: no child is lost, none is made twice, every parent goes on."""

from __future__ import annotations

import random
import signal
import time

import pytest

from rig.archives import zipped
from rig.waiting import wait_until
from rig.yard import Yard, all_final, effects, worker
from wharfinger.engine.sweep import sweep
from wharfinger.ledger import chain
from wharfinger.model import State

pytestmark = pytest.mark.slow

ARCHIVES = {f"in/{n}.zip": {f"{n}{each}.csv": b"row of %d%s" % (n, each.encode()) for each in "abc"} for n in range(3)}
FILES = {name: zipped(members) for name, members in ARCHIVES.items()}


POINTS = [
    *("worker.claimed:2", "worker.routed:2", "worker.stepped:2", "worker.stepped:4"),
    *("worker.published", "worker.published:2", "store.renamed:3", "store.renamed:6"),
    *("worker.spawned", "worker.spawned:2", "worker.spawned:3", "worker.checkpointed", "worker.checkpointed:3"),
    *("ledger.settling", "ledger.settling:2", "ledger.settling:4", "ledger.settling:6"),
    *("ledger.waking", "ledger.waking:2", "ledger.waking:3"),
    *("worker.settled", "worker.settled:2", "worker.settled:4"),
    *("store.deleting", "worker.dropped", "worker.noted:3", "target.renamed:2"),
]


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_anywhere_leaves_nobody_waiting_and_repeats_nothing(yard: Yard, point: str) -> None:
    yard.land(FILES)
    with worker(yard, "family", environ={"WHARF_CRASH": point, "WHARF_OWNER": "doomed"}) as doomed:
        assert doomed.wait(30) == -signal.SIGKILL
    before = effects(yard)
    sweep(yard.ledger, yard.hint, owner="doomed")
    with worker(yard, "family") as process:
        wait_until("every file has ended", lambda: all_final(yard), seconds=30)
        process.terminate()
        assert process.wait(20) == 0
    check_complete(yard)
    assert before.items() <= effects(yard).items()


def check_complete(yard: Yard) -> None:
    """As if nothing had happened."""
    assert set(yard.statuses().values()) == {"transferred"}
    members = {f"acme/in/{name}": data.upper() for inner in ARCHIVES.values() for name, data in inner.items()}
    archives = {f"acme/{name}": data for name, data in FILES.items()}
    assert yard.visible() == {**members, **archives}
    assert yard.lake() == {key: [data] * 2 for key, data in archives.items()}  # by the pipeline itself, and by `inner`
    counts = yard.catalog.counts()
    assert (counts.children[State.DONE], sum(counts.children.values())) == (len(FILES) * 6, len(FILES) * 6)
    for record in yard.records().values():
        events = yard.catalog.events(record.file_id)
        assert chain.verify(events) == []
        spawned = [child for event in events if event.kind.endswith("spawned") for child in event.data["children"]]
        ended = [event.data["run"] for event in events if event.kind == "child.transferred"]
        assert (len(spawned), sorted(ended)) == (len({*spawned}), sorted(spawned))
        assert (record.attempts, record.waits) == (1, 0)
    assert [*(yard.root / "store" / "scratch").iterdir()] == [*yard.store.list("checkpoints")] == []


def test_a_worker_stopped_past_its_lease_while_it_settles_children_wakes_nobody_twice(yard: Yard) -> None:
    yard.land(FILES)
    stopped = yard.root / "stopped"
    environ = {
        "WHARF_CRASH": "worker.noted:2",
        "WHARF_CRASH_SIGNAL": "SIGSTOP",
        "WHARF_CRASH_ONCE": str(stopped),
        "WHARF_OWNER": "zombie",
    }
    with worker(yard, "family", environ=environ) as zombie:
        wait_until("it stands still", stopped.exists)
        with worker(yard, "family") as heir:
            wait_until("every file has ended", lambda: all_final(yard), seconds=30)
            zombie.send_signal(signal.SIGCONT)
            zombie.terminate()
            assert zombie.wait(20) == 0
            heir.terminate()
            assert heir.wait(20) == 0
    check_complete(yard)


@pytest.mark.parametrize("seed", range(3))
def test_two_workers_killed_at_random(yard: Yard, seed: int) -> None:
    rand = random.Random(seed)
    yard.land(FILES)
    for n in range(12):
        if all_final(yard):
            break
        with worker(yard, "family", environ={"WHARF_OWNER": f"doomed-{n}"}) as doomed:
            time.sleep(rand.random() * 0.08)
            doomed.kill()
            doomed.wait()
        sweep(yard.ledger, yard.hint, owner=f"doomed-{n}", crashed=False)
    with worker(yard, "family") as one, worker(yard, "family") as two:
        wait_until("every file has ended", lambda: all_final(yard), seconds=30)
        for process in (one, two):
            process.terminate()
            assert process.wait(20) == 0
    check_complete(yard)
