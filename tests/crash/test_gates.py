"""kill -9 of whoever resumes a pipeline: nothing that waited is lost, stranded or done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rig.serving import Serving, prepare, put, wharf
from rig.waiting import wait_until
from wharfinger.ledger import MANY

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]

FILES = {f"f{n}.bin": f"content {n}".encode() for n in range(2 * MANY + 20)}


def held(directory: Path) -> int:
    return int(wharf(directory, "status")["held"])


def test_whoever_resumes_is_killed_halfway_and_the_workers_see_to_the_rest(tmp_path: Path) -> None:
    prepare(tmp_path)
    wharf(tmp_path, "pause", "all")
    put(tmp_path, FILES)
    with Serving(tmp_path):
        wait_until("all are held", lambda: held(tmp_path) == len(FILES))
    command = [sys.executable, "-m", "wharfinger", "--config", str(tmp_path / "wharf.yaml"), "resume", "all"]
    killed = subprocess.run(command, env={**os.environ, "WHARF_CRASH": "gate.woken"}, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert held(tmp_path) == len(FILES) - MANY
    with Serving(tmp_path):
        wait_until(
            "all are transferred", lambda: wharf(tmp_path, "status")["files"]["transferred"] == len(FILES), seconds=30
        )
    events = wharf(tmp_path, "file", wharf(tmp_path, "files")[0]["file_id"])["events"]
    assert [event["kind"] for event in events] == ["arrived", "held", "woken", "transferred"]
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == len(FILES)


@pytest.mark.parametrize("point", ["worker.routed", "ledger.settling", "worker.settled"])
def test_a_worker_that_puts_files_aside_is_killed_and_every_file_waits(point: str, tmp_path: Path) -> None:
    prepare(tmp_path)
    wharf(tmp_path, "pause", "all")
    put(tmp_path, FILES)
    killed = tmp_path / "killed"
    with Serving(tmp_path, {"WHARF_CRASH": point, "WHARF_CRASH_ONCE": str(killed)}):
        wait_until("all are held", lambda: held(tmp_path) == len(FILES))
        assert killed.exists()
        wharf(tmp_path, "resume", "all")
        wait_until("all are transferred", lambda: wharf(tmp_path, "status")["files"]["transferred"] == len(FILES))
