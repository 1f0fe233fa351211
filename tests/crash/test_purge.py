"""kill -9 of whoever removes bytes for good: nothing goes that should stay, nothing stays half removed, and all of it can be proven."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rig import buckets
from rig.serving import CONFIG, Keeper, Serving, prepare, put, wharf
from rig.waiting import wait_until

pytestmark = pytest.mark.slow

POINTS = ["ledger.purging", "purge.ordered", "purge.noted", "store.deleting", "purge.deleted"]

GOES = {f"goes{n}.bin": bytes([n]) * (1000 + n) for n in range(4)}
STAYS = {f"stays{n}.bin": bytes([n]) * 500 for n in range(2)}

Record = Mapping[str, Any]


@pytest.fixture
def config(backend: str, tmp_path: Path) -> str:
    """Beside SQLite objects are in directories, beside Postgres in a bucket: a purge knows neither of the other."""
    store = f"store: {buckets.url(tmp_path)}\n" if backend == "postgres" else ""
    return f"{CONFIG}{store}"


def name(record: Record) -> str:
    return str(record["key"]).rpartition("/")[2]


def records(directory: Path) -> list[Record]:
    found: list[Record] = wharf(directory, "files", "--all")
    return found


def are_transferred(directory: Path, count: int) -> Callable[[], bool]:
    return lambda: sum(record["status"] == "transferred" for record in records(directory)) == count


def in_custody(directory: Path) -> list[str]:
    """The names of the arrivals that the store has, and of their deliveries."""
    return sorted(listed["key"].rpartition("/")[2] for listed in wharf(directory, "store", "ls", "--bucket", "inbox"))


def events(directory: Path, record: Record) -> list[str]:
    found = wharf(directory, "file", record["file_id"])
    assert found["chain"]["verified"]
    return [event["kind"] for event in found["events"]]


def check(directory: Path) -> None:
    """Of everything that should go the bytes are gone, once; all else is as it was, and can be proven."""
    found = records(directory)
    assert {name(r) for r in found} == {*GOES, *STAYS}
    for record in found:
        assert (record["purge_timestamp"] is not None) == (name(record) in GOES), record
        assert events(directory, record).count("purged") == (name(record) in GOES), record
    assert in_custody(directory) == sorted(STAYS)
    status = wharf(directory, "status")
    expected = len(GOES), sum(map(len, GOES.values())), 0, len(GOES) + len(STAYS)
    assert (status["purged"], status["purged_bytes"], status["purging"], status["files"]["transferred"]) == expected
    assert len(wharf(directory, "store", "ls", "--bucket", "kept")) == len(found), "what was delivered stays"
    assert len([path for path in (directory / "out").iterdir() if path.name[0] != "."]) == len(found)
    assert wharf(directory, "store", "verify")["problems"] == []
    assert wharf(directory, "audit", "verify")["findings"] == []
    gone = next(record for record in found if name(record) in GOES)
    prove(directory, gone)


def prove(directory: Path, record: Record) -> None:
    """The evidence of a purged file is verified by its own script, its receipts by ours."""
    bundle = directory / "evidence.zip"
    key = wharf(directory, "evidence", record["file_id"], "-o", str(bundle))["key"]
    subprocess.run(["unzip", "-qo", str(bundle), "verify.py", "-d", str(directory)], check=True)
    judge = [sys.executable, "-I", str(directory / "verify.py"), str(bundle), "--key", key]
    done = subprocess.run(judge, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    wharf(directory, "receipt", record["file_id"], "--to", str(directory / "receipts"))
    shown = sorted(map(str, (directory / "receipts").iterdir()))
    assert len(shown) == 2
    assert wharf(directory, "receipt", "verify", *shown)["ok"]


def killed_at(point: str, directory: Path, *words: str) -> None:
    command = [sys.executable, "-m", "wharfinger", "--config", str(directory / "wharf.yaml"), *words]
    done = subprocess.run(command, env={**os.environ, "WHARF_CRASH": point}, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("point", POINTS)
def test_whoever_purges_is_killed_and_the_next_purge_does_the_rest(point: str, tmp_path: Path, config: str) -> None:
    prepare(tmp_path, config)
    put(tmp_path, GOES | STAYS)
    with Serving(tmp_path):
        wait_until("all are transferred", are_transferred(tmp_path, len(GOES | STAYS)), seconds=30)
    killed_at(point, tmp_path, "purge", "--name", "*/goes*", "--yes")
    wharf(tmp_path, "purge", "--name", "*/goes*", "--yes")
    check(tmp_path)
    wharf(tmp_path, "ledger", "rebuild", "--force", "--yes")
    rebuilt = {name(r): r["purge_timestamp"] is not None for r in records(tmp_path)}
    assert rebuilt == {name: name in GOES for name in GOES | STAYS}
    assert wharf(tmp_path, "store", "verify")["problems"] == []
    assert in_custody(tmp_path) == sorted(STAYS)


@pytest.mark.parametrize("point", ["purge.noted", "purge.deleted"])
def test_a_ledger_that_is_lost_in_the_middle_of_a_purge_knows_of_it_again(
    point: str, tmp_path: Path, config: str
) -> None:
    prepare(tmp_path, config)
    put(tmp_path, GOES | STAYS)
    with Serving(tmp_path):
        wait_until("all are transferred", are_transferred(tmp_path, len(GOES | STAYS)), seconds=30)
    killed_at(point, tmp_path, "purge", "--name", "*/goes*", "--yes")
    assert wharf(tmp_path, "ledger", "rebuild", "--force", "--yes")["purged"] == len(GOES)
    check(tmp_path)


@pytest.mark.parametrize("point", POINTS)
def test_the_process_that_keeps_to_the_rules_is_killed_and_goes_on(point: str, tmp_path: Path, config: str) -> None:
    rules = {"legal": {"key": "**/stays*"}, "all": {"transferred_days": 1e-7}}
    prepare(tmp_path, f"{config}retention: {json.dumps(rules)}\n")
    put(tmp_path, GOES | STAYS)
    killed = tmp_path / "killed"
    with Keeper(tmp_path, {"WHARF_CRASH": point, "WHARF_CRASH_ONCE": str(killed)}):
        wait_until("all are transferred", are_transferred(tmp_path, len(GOES | STAYS)), seconds=30)
        wait_until(
            "all are purged", lambda: wharf(tmp_path, "status")["purged"] == len(GOES) and killed.exists(), seconds=30
        )
    check(tmp_path)
