"""kill -9 of whoever cancels a file that has called others: its whole family is cancelled all the same, and nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rig.archives import zipped
from rig.serving import Serving, prepare, put, wharf
from rig.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]

CONFIG = """\
data: ./data
min_free: 1048576
listeners: {sftp: null}
workers: {count: 2, lease_s: 2}
customers: {acme: {}}
destinations: {out: {directory: ./out}}
pipelines:
  archives:
    route: {key: "**/*.zip"}
    steps:
      - {pipeline: outer, each: member}
  outer:
    steps:
      - {pipeline: inner}
  inner:
    steps:
      - {uses: deliver, with: {to: out}}
"""

MEMBERS = {f"m{n}.csv": b"row %d" % n for n in range(110)}
OTHERS = {f"o{n}.csv": b"row %d" % n for n in range(3)}


def status(directory: Path) -> Any:
    return wharf(directory, "status")


def visible(directory: Path) -> list[Path]:
    return [path for path in (directory / "out").rglob("*") if path.is_file()]


def states(directory: Path, file_id: str) -> dict[str, int]:
    children = wharf(directory, "file", file_id)["children"]
    return {state: sum(child["state"] == state for child in children) for state in {c["state"] for c in children}}


@pytest.mark.parametrize("point", ["cancel.begun", "cancel.descended", "cancel.descended:2", "ledger.waking"])
def test_whoever_cancels_is_killed_and_the_workers_see_to_the_family(point: str, tmp_path: Path) -> None:
    prepare(tmp_path, CONFIG)
    wharf(tmp_path, "pause", "inner")
    put(tmp_path, {"goes.zip": zipped(MEMBERS), "stays.zip": zipped(OTHERS)})
    with Serving(tmp_path):
        held = len(MEMBERS) + len(OTHERS)
        wait_until("all are held", lambda: status(tmp_path)["held"] == held, seconds=60)
    files = {row["key"].rpartition("/")[2]: row["file_id"] for row in wharf(tmp_path, "files")}
    goes, stays = files["goes.zip"], files["stays.zip"]
    command = [sys.executable, "-m", "wharfinger", "--config", str(tmp_path / "wharf.yaml"), "cancel", goes]
    killed = subprocess.run(command, env={**os.environ, "WHARF_CRASH": point}, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert states(tmp_path, goes) != {"cancelled": 2 * len(MEMBERS)}
    with Serving(tmp_path):
        cancelled = {"cancelled": 2 * len(MEMBERS)}
        wait_until("the family is cancelled", lambda: states(tmp_path, goes) == cancelled, seconds=30)
        assert wharf(tmp_path, "file", goes)["status"] == "failed"
        assert status(tmp_path)["held"] == len(OTHERS)
        assert visible(tmp_path) == []
        wharf(tmp_path, "resume", "inner")
        wait_until(
            "the other is transferred", lambda: wharf(tmp_path, "file", stays)["status"] == "transferred", seconds=30
        )
        assert len(visible(tmp_path)) == len(OTHERS)
        events = wharf(tmp_path, "file", goes)
        assert events["chain"]["verified"]
        assert "resumed" not in [event["kind"] for event in events["events"]]
        wharf(tmp_path, "replay", goes)
        wait_until("it is transferred", lambda: wharf(tmp_path, "file", goes)["status"] == "transferred", seconds=60)
    assert len(visible(tmp_path)) == len(MEMBERS) + len(OTHERS)
    assert wharf(tmp_path, "store", "ls", "--bucket", "checkpoints") == []
    assert wharf(tmp_path, "audit", "verify")["findings"] == []


def test_whoever_cancels_is_killed_before_the_ledger_knows_and_nothing_has_happened(tmp_path: Path) -> None:
    prepare(tmp_path, CONFIG)
    put(tmp_path, {"goes.zip": zipped(OTHERS)})
    [record] = wharf(tmp_path, "files")
    command = [
        sys.executable,
        "-m",
        "wharfinger",
        "--config",
        str(tmp_path / "wharf.yaml"),
        "cancel",
        record["file_id"],
    ]
    killed = subprocess.run(command, env={**os.environ, "WHARF_CRASH": "cancel.noted"}, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [event["kind"] for event in wharf(tmp_path, "file", record["file_id"])["events"]] == ["arrived"]
    assert wharf(tmp_path, "cancel", record["file_id"])["cancelled"] == [record["file_id"]]


def test_whoever_replays_a_cancelled_file_is_killed_before_the_ledger_knows_and_it_can_be_replayed(
    tmp_path: Path,
) -> None:
    prepare(tmp_path, CONFIG)
    put(tmp_path, {"goes.zip": zipped(OTHERS)})
    [record] = wharf(tmp_path, "files")
    file_id = record["file_id"]
    wharf(tmp_path, "cancel", file_id)
    command = [sys.executable, "-m", "wharfinger", "--config", str(tmp_path / "wharf.yaml"), "replay", file_id]
    killed = subprocess.run(command, env={**os.environ, "WHARF_CRASH": "replay.noted"}, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [event["kind"] for event in wharf(tmp_path, "file", file_id)["events"]] == ["arrived", "cancelled"]
    assert wharf(tmp_path, "replay", file_id)["replayed"] == [file_id]
    assert wharf(tmp_path, "file", file_id)["events"][-1]["kind"] == "replayed"
