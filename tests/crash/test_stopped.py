"""SIGSTOP past the lease, at every point of a worker's way: whoever wakes too late changes nothing."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rig.account import SLACK_S, Account, calm, name, stranded
from rig.serving import LEASE_S, OF_CHILDREN, Serving, prepare, put, wharf, worker
from rig.waiting import wait_until
from wharfinger.telemetry.crash import POINTS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]

SENT = {f"f{n}.txt": b"line %d\n" % n * 500 for n in range(2)}

STORE = ["store.synced:1", "store.renamed:2"]  # of the checkpoint, of the delivery
WAY = [point for point in POINTS if point.startswith(("worker.", "target.")) and point not in OF_CHILDREN]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return calm(tmp_path_factory.mktemp("calm"), SENT)


@pytest.mark.parametrize("point", [*STORE, *WAY])
def test_a_worker_stopped_past_its_lease_changes_nothing(point: str, tmp_path: Path, results: dict[str, bytes]) -> None:
    prepare(tmp_path)
    account = Account(tmp_path, results)
    put(tmp_path, SENT)
    with stopped_at(tmp_path, point) as zombie:
        with Serving(tmp_path):
            account.settle()
        before = histories(account)
        zombie.send_signal(signal.SIGCONT)
    records = account.check(SENT, dict.fromkeys(SENT, 1))
    assert stranded(records, since=(tmp_path / point).stat().st_mtime) < LEASE_S + 1 + SLACK_S
    for file, events in histories(account).items():
        assert events[: len(before[file])] == before[file]
        assert events[len(before[file]) :] in ([["stale"]] if point == "worker.noted" else [[], ["stale"]])


def test_a_settle_that_comes_too_late_leaves_the_run_to_its_successor(
    tmp_path: Path, results: dict[str, bytes]
) -> None:
    prepare(tmp_path)
    account = Account(tmp_path, {"f0.txt": results["f0.txt"]})
    put(tmp_path, {"f0.txt": SENT["f0.txt"]})
    with stopped_at(tmp_path, "worker.noted") as zombie, stopped_at(tmp_path, "worker.routed") as successor:
        before = histories(account)["f0.txt"]
        zombie.send_signal(signal.SIGCONT)
        wait_until("the zombie has had its say", lambda: histories(account)["f0.txt"] != before)
        assert histories(account)["f0.txt"][len(before)] == "stale"
        successor.send_signal(signal.SIGCONT)
        account.settle()
    account.check({"f0.txt": SENT["f0.txt"]}, {"f0.txt": 1})


def test_a_worker_that_removes_checkpoints_too_late_leaves_a_replay_its_own(
    tmp_path: Path, results: dict[str, bytes]
) -> None:
    prepare(tmp_path)
    account = Account(tmp_path, {"f0.txt": results["f0.txt"]})
    put(tmp_path, {"f0.txt": SENT["f0.txt"]})
    with stopped_at(tmp_path, "store.deleting") as zombie:
        (record,) = account.settle()
        wharf(tmp_path, "replay", record["file_id"])
        with stopped_at(tmp_path, "worker.checkpointed") as successor:
            zombie.send_signal(signal.SIGCONT)
            zombie.terminate()
            assert zombie.wait(30) == 0
            assert len(wharf(tmp_path, "store", "ls", "--bucket", "checkpoints")) == 1
            successor.send_signal(signal.SIGCONT)
            account.settle()
    account.check({"f0.txt": SENT["f0.txt"]}, {"f0.txt": 1})
    assert wharf(tmp_path, "store", "ls", "--bucket", "checkpoints") == []


@contextmanager
def stopped_at(directory: Path, point: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that has come to this point, and does not move."""
    once = directory / point
    env = {"WHARF_CRASH": point, "WHARF_CRASH_SIGNAL": "SIGSTOP", "WHARF_CRASH_ONCE": str(once)}
    with worker(directory, env) as process:
        wait_until(f"it is stopped at {point}", once.exists)
        yield process


def histories(account: Account) -> dict[str, list[str]]:
    """What has happened to each file, as its history tells it."""
    found = {}
    for record in account.records():
        told = wharf(account.directory, "file", record["file_id"])
        assert told["chain"]["verified"]
        found[name(record)] = [event["kind"] for event in told["events"]]
    return found
