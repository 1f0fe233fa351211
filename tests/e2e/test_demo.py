"""`wharf demo` from an installed package: every file ends as it ought to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def demo(directory: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wharfinger", "--json", "demo", "--dir", str(directory), "--size", "8"]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}, timeout=110
    )


def test_every_file_ends_as_it_ought_to(tmp_path: Path) -> None:
    done = demo(tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["ok"]
    assert {f["status"] for f in told["files"]} == {"transferred", "quarantined"}
    files = {file["key"].rpartition("/")[2]: file for file in told["files"]}
    fanned = [place.partition(":")[0] for place in files["month-end 2026-11.zip"]["delivered"]]
    assert (fanned.count("warehouse"), fanned.count("archive")) == (4, 4), (
        "four members; the three sealed, and the archive itself"
    )
    assert [file["source"] for name, file in files.items() if name.startswith("letter")] == ["folder"], (
        "it was dropped there"
    )
    assert {file["source"] for name, file in files.items() if not name.startswith("letter")} == {"sftp"}
    assert [line["holds"] for line in told["proof"]] == [True, True, False]
    assert "VERIFIED" in told["proof"][1]["said"]
    assert told["proof"][2]["said"].startswith("NOT VERIFIED")
    for file in told["files"]:
        for where in file["delivered"]:
            destination, _, key = where.partition(":")
            if destination == "warehouse":
                assert (tmp_path / "demo" / "warehouse" / key).is_file()


def test_it_can_be_run_again_in_its_own_directory_only(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("mine")
    done = demo(tmp_path / "precious")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert (tmp_path / "precious" / "thesis.txt").read_text() == "mine"


def test_without_openssh_a_python_client_uploads_and_says_so(tmp_path: Path) -> None:
    done = demo(tmp_path / "demo", {"PATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["client"] == "asyncssh"
