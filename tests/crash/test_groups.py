"""Whoever is killed, and wherever: the effects of a group come in the order in which its files arrived, and none is lost or repeated."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from rig.inotify import Watch
from rig.serving import CONFIG, Serving, prepare, put, wharf
from rig.waiting import wait_until
from rig.yard import Yard, all_final, worker
from wharfinger.config.order import grouping
from wharfinger.config.settings import Order
from wharfinger.engine.sweep import sweep
from wharfinger.ledger import chain

pytestmark = pytest.mark.slow

FOLDERS = ("a", "b", "c")
FILES = {f"{FOLDERS[n % 3]}/{n:02d}": b"bytes of %d" % n for n in range(24)}
BY_FOLDER = grouping([Order()])


class Watches:
    """What becomes visible in each folder, in its order."""

    def __init__(self, yard: Yard) -> None:
        self._watches = {}
        for folder in FOLDERS:
            place = yard.out / "acme" / folder
            place.mkdir(parents=True)
            self._watches[folder] = Watch(place)

    def check(self) -> None:
        """Every file of a folder became visible once, one after another as they had arrived."""
        for folder, watch in self._watches.items():
            watch.read()
            sent = [name.partition("/")[2] for name in FILES if name.startswith(folder)]
            assert [*watch.moved.items()] == [(name, 1) for name in sent], "in the order of their arrival, once"


def finish(yard: Yard, *, workers: int = 2) -> None:
    if workers:
        with worker(yard, "full") as process:
            finish(yard, workers=workers - 1)
            process.terminate()
            assert process.wait(20) == 0
    else:
        wait_until("every file has ended", lambda: all_final(yard), seconds=30)


def check_complete(yard: Yard) -> None:
    """As if nothing had happened."""
    assert set(yard.statuses().values()) == {"transferred"}
    expected = {f"acme/{name}": data.upper() for name, data in FILES.items()}
    assert yard.visible() == expected
    assert yard.lake() == {key: [data] for key, data in expected.items()}
    for record in yard.records().values():
        events = yard.catalog.events(record.file_id)
        assert chain.verify(events) == []
        assert [event.kind for event in events].count("transferred") == 1
    assert [*yard.store.list("checkpoints")] == []


POINTS = [
    *("worker.claimed:3", "worker.routed:2", "worker.stepped:3", "worker.published:2", "worker.checkpointed:2"),
    *("target.synced:2", "target.renamed:2", "worker.delivered:3", "worker.noted:2"),
    *("ledger.settling:2", "ledger.advancing", "ledger.advancing:2", "ledger.advancing:7", "worker.settled:2"),
    *("store.deleting:2", "worker.dropped:2"),
]


@pytest.mark.parametrize("point", POINTS)
def test_a_worker_killed_anywhere_lets_nobody_pass_and_leaves_nobody_behind(yard: Yard, point: str) -> None:
    watches = Watches(yard)
    yard.land(FILES, group=BY_FOLDER)
    with worker(yard, "full", environ={"WHARF_CRASH": point, "WHARF_OWNER": "doomed"}) as doomed:
        assert doomed.wait(30) == -signal.SIGKILL
    sweep(yard.ledger, yard.hint, owner="doomed")
    finish(yard)
    watches.check()
    check_complete(yard)


def test_a_worker_stopped_past_its_lease_lets_nobody_pass(yard: Yard) -> None:
    watches, stopped = Watches(yard), yard.root / "stopped"
    yard.land(FILES, group=BY_FOLDER)
    environ = {
        "WHARF_CRASH": "worker.stepped:4",
        "WHARF_CRASH_SIGNAL": "SIGSTOP",
        "WHARF_CRASH_ONCE": str(stopped),
        "WHARF_OWNER": "zombie",
    }
    with worker(yard, "full", environ=environ) as zombie:
        wait_until("it stands still", stopped.exists)
        with worker(yard, "full") as heir:
            wait_until("every file has ended", lambda: all_final(yard), seconds=30)
            zombie.send_signal(signal.SIGCONT)
            zombie.terminate()
            assert zombie.wait(20) == 0
            heir.terminate()
            assert heir.wait(20) == 0
    watches.check()


@pytest.mark.parametrize("seed", range(2))
def test_workers_killed_at_random_keep_the_order(yard: Yard, seed: int) -> None:
    rand, watches = random.Random(seed), Watches(yard)
    names = list(FILES)
    for n in range(8):
        yard.land({name: FILES[name] for name in names[3 * n : 3 * n + 3]}, group=BY_FOLDER)
        with worker(yard, "full", environ={"WHARF_OWNER": f"doomed-{n}"}) as doomed:
            time.sleep(rand.random() * 0.08)
            doomed.kill()
            doomed.wait()
        sweep(yard.ledger, yard.hint, owner=f"doomed-{n}", crashed=False)
    finish(yard)
    watches.check()
    check_complete(yard)


ORDERED = f"{CONFIG}order:\n  - {{key: 'inbound/**', by: 'all'}}\n".replace("compress, checkpoint: true", "compress")
SENT = {f"{n:02d}.bin": b"content of %d" % n for n in range(30)}


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("point", ["ledger.advancing:9", "target.renamed:4"])
def test_a_server_whose_worker_is_killed_delivers_a_group_in_order(point: str, tmp_path: Path) -> None:
    prepare(tmp_path, ORDERED)
    watch, killed = Watch(tmp_path / "out"), tmp_path / "killed"
    put(tmp_path, SENT)
    assert wharf(tmp_path, "status")["behind"] == len(SENT) - 1
    with Serving(tmp_path, {"WHARF_CRASH": point, "WHARF_CRASH_ONCE": str(killed)}):
        wait_until(
            "all are transferred",
            lambda: wharf(tmp_path, "status")["files"]["transferred"] == len(SENT),
            seconds=60,
        )
    assert killed.exists()
    watch.read()
    assert [name.partition(".")[0] for name in watch.moved] == [name.partition(".")[0] for name in SENT]
    assert set(watch.moved.values()) == {1}
    assert wharf(tmp_path, "audit", "verify")["findings"] == []
