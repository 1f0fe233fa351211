"""kill -9 at every named point of a file's way, and at random: nothing is lost, stranded, repeated or changed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import pytest

from rig.account import SLACK_S, Account, Record, at, calm, stranded
from rig.serving import LEASE_S, OF_CHILDREN, OF_GROUPS, Keeper, prepare, put, wharf, worker
from rig.uploading import upload
from rig.waiting import wait_until
from wharfinger.telemetry.crash import POINTS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]


def files(count: int) -> dict[str, bytes]:
    """Empty, tiny, small, and larger than what one packet holds."""
    rand = random.Random(count)
    sizes = [0, 1, 10_240, 1_500_000, *(rand.randint(1, 40_000) for _ in range(count - 4))]
    return {f"f{n:04d}.bin": rand.randbytes(size) for n, size in enumerate(sizes)}


SENT = files(24)

OF_SOURCES = ("source.", "folder.")
"""On the way from a folder into custody: see test_sources."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return calm(tmp_path_factory.mktemp("calm"), SENT)


@pytest.mark.parametrize(
    "point", [point for point in POINTS if not point.startswith(OF_SOURCES) and point not in OF_CHILDREN | OF_GROUPS]
)
def test_kill_at(
    point: str, tmp_path: Path, results: dict[str, bytes], record_property: Callable[[str, object], None]
) -> None:
    prepare(tmp_path)
    account, killed = Account(tmp_path, results), tmp_path / "killed"
    with held_by_a_stopped_worker(tmp_path) if point == "sweeper.swept" else nullcontext({}) as held:
        env = {"WHARF_CRASH": point, "WHARF_CRASH_ONCE": str(killed), "WHARF_WORKERS__CHECKPOINT_S": "0.5"}
        with Keeper(tmp_path, env) as keeper:
            if point == "supervisor.bereaved":
                keeper.await_ready()
                os.kill(keeper.processes()["worker-1"], signal.SIGKILL)
            tries = upload({name: SENT[name] for name in SENT.keys() - held.keys()}, tmp_path / "key", keeper.port)
            wait_until(f"{point} was passed", killed.exists)
            account.settle()
        records = account.check(SENT, tries | held)
    assert wharf(tmp_path, "audit", "verify")["findings"] == []
    worst_s = stranded(records, since=killed.stat().st_mtime)
    record_property("stranded_s", round(worst_s, 3))
    assert worst_s < LEASE_S + 1 + SLACK_S


@contextmanager
def held_by_a_stopped_worker(directory: Path) -> Iterator[dict[str, int]]:
    """One of the files, in the hands of a worker that does not move: a lease that only its end can take away."""
    name = next(iter(SENT))
    put(directory, {name: SENT[name]})
    stopped = directory / "stopped"
    env = {"WHARF_CRASH": "worker.routed", "WHARF_CRASH_SIGNAL": "SIGSTOP", "WHARF_CRASH_ONCE": str(stopped)}
    with worker(directory, env) as process:
        wait_until("a worker has it", stopped.exists)
        yield {name: 1}
        process.send_signal(signal.SIGCONT)


@pytest.mark.timeout(600)
def test_random_kills(tmp_path: Path) -> None:
    """WHARF_RANDOM_FILES, WHARF_RANDOM_KILLS and WHARF_RANDOM_SEED make it longer, or another."""
    count, kills, seed = (int(os.environ.get(f"WHARF_RANDOM_{what}", n)) for what, n in DEFAULTS.items())
    sent = files(count)
    (tmp_path / "calm").mkdir()
    results = calm(tmp_path / "calm", sent)
    prepare(tmp_path)
    account, storm = Account(tmp_path, results), Storm(random.Random(seed), list(sent), kills)
    began = time.time()
    with Keeper(tmp_path) as keeper, ThreadPoolExecutor(1) as thread:
        keeper.await_ready()
        heard = {"acknowledged": storm.acknowledged.add, "may_send": storm.may_send}
        client = thread.submit(upload, sent, tmp_path / "key", keeper.port, seconds=60 + 3 * kills, **heard)
        storm.rage(keeper)
        tries = client.result()
        account.settle(120)
        replayed = replay_the_unlucky(account)
        records = account.check(sent, tries)
    story = {
        "seed": seed,
        "files": count,
        "kills": kills,
        "killed": dict(sorted(storm.killed.items())),
        "sent": sum(tries.values()),
        "versions": len(records),
        "replayed": replayed,
        "seconds": round(max(at(record["transfer_timestamp"]) for record in records) - began, 1),
    }
    print(story)


DEFAULTS = {"FILES": "600", "KILLS": "40", "SEED": "1"}


class Storm:
    """Kills, mostly of one process and sometimes of all at once: one in the middle of each of so many lots of files."""

    def __init__(self, rand: random.Random, names: list[str], kills: int) -> None:
        self._rand = rand
        self._lots = {name: n * kills // len(names) for n, name in enumerate(names)}
        self._kills, self._lot = kills, 0
        self.acknowledged: set[str] = set()
        self.killed: Counter[str] = Counter()

    def may_send(self, name: str) -> bool:
        return self._lots[name] <= self._lot

    def rage(self, keeper: Keeper) -> None:
        for lot in range(self._kills):
            self._lot = lot
            time.sleep(self._rand.random() * 0.05)  # anywhere within what is going on, not at its edges
            self._strike(keeper)
            wait_until("the lot is there", self._is_in)

    def _is_in(self) -> bool:
        return len(self.acknowledged) >= sum(lot <= self._lot for lot in self._lots.values())

    def _strike(self, keeper: Keeper) -> None:
        living = wait_until("somebody lives", keeper.processes)
        role = self._rand.choices([*ODDS], [odds * (role in {"all", *living}) for role, odds in ODDS.items()])[0]
        with suppress(ProcessLookupError):
            if role == "all":
                os.killpg(living["supervisor"], signal.SIGKILL)
            else:
                os.kill(living[role], signal.SIGKILL)
        self.killed[role] += 1


ODDS = {"worker-1": 30, "worker-2": 30, "sftp": 15, "landing": 15, "supervisor": 7, "all": 8}


def replay_the_unlucky(account: Account) -> int:
    """
    Kills that hit one file twice while it ran alone look like a file that kills: it is quarantined, and says so. Somebody who
    knows better replays it. Answers how many there were.
    """
    unlucky = [record for record in account.records() if record["status"] != "transferred"]
    for record in unlucky:
        assert record["error_message"].startswith("POISON")
        assert crashes_alone(account, record) == 2
        wharf(account.directory, "replay", record["file_id"])
    account.settle()
    return len(unlucky)


def crashes_alone(account: Account, record: Record) -> int:
    events = wharf(account.directory, "file", record["file_id"])["events"]
    return sum(event["kind"] == "expired" and event["data"]["alone"] for event in events)
