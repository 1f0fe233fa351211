"""SIGSTOP past the lease, at every point of a worker's way: whoever wakes too late changes nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from rig.account import Account, calm, name
from rig.serving import Serving, prepare, put, wharf, worker
from rig.waiting import wait_until
from wharfinger.telemetry.crash import POINTS

pytestmark = pytest.mark.slow

SENT = {f"f{n}.txt": b"line %d\n" % n * 500 for n in range(2)}

STORE = ["store.synced:1", "store.renamed:2"]  # of the checkpoint, of the delivery
WAY = [point for point in POINTS if point.startswith(("worker.", "target."))]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return calm(tmp_path_factory.mktemp("calm"), SENT)


@pytest.mark.parametrize("point", [*STORE, *WAY])
def test_a_worker_stopped_past_its_lease_changes_nothing(point: str, tmp_path: Path, results: dict[str, bytes]) -> None:
    prepare(tmp_path)
    account, stopped = Account(tmp_path, results), tmp_path / "stopped"
    put(tmp_path, SENT)
    env = {"WHARF_CRASH": point, "WHARF_CRASH_SIGNAL": "SIGSTOP", "WHARF_CRASH_ONCE": str(stopped)}
    with worker(tmp_path, env) as zombie:
        wait_until(f"it is stopped at {point}", stopped.exists)
        with Serving(tmp_path):
            account.settle()
        before = histories(account)
        zombie.send_signal(signal.SIGCONT)
    account.check(SENT, dict.fromkeys(SENT, 1))
    for file, events in histories(account).items():
        assert events[: len(before[file])] == before[file]
        assert events[len(before[file]) :] in ([["stale"]] if point == "worker.noted" else [[], ["stale"]])


def histories(account: Account) -> dict[str, list[str]]:
    """What has happened to each file, as its history tells it."""
    found = {}
    for record in account.records():
        told = wharf(account.directory, "file", record["file_id"])
        assert told["chain"]["verified"]
        found[name(record)] = [event["kind"] for event in told["events"]]
    return found
