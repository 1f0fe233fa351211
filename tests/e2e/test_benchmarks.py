"""Each benchmark runs small and its counts are right. Its times mean nothing and are not looked at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rig import postgres
from rig.faults import engine
from rig.needs import is_needed
from rig.seeded import objections

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run_small(name: str, tmp_path: Path, *options: str, timeout: float = 110) -> dict[str, Any]:
    """The report of a small run, with its files in `tmp_path`."""
    command = [
        sys.executable,
        str(BENCHMARKS / f"{name}.py"),
        "--small",
        "--out",
        str(tmp_path / "out"),
        "--work",
        str(tmp_path),
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "working files were left behind"
    (report,) = (tmp_path / "out").glob("*.json")
    assert report.with_suffix(".md").read_text().startswith("# ")
    return json.loads(report.read_text())


@pytest.mark.slow
def test_ledger_benchmark_fills_what_it_says_and_claims_after_a_kill(tmp_path):
    counts = run_small("ledger", tmp_path)["counts"]
    assert counts == {"transferred of 2000": 2000, "transferred of 4000": 4000, "claimed after kill -9": 64}


@pytest.fixture
def reachable():
    """A directory that the user who runs Postgres can reach, where that is not the one who tests."""
    with tempfile.TemporaryDirectory(prefix="wharf-bench-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


needs_postgres = pytest.mark.skipif(
    postgres.binaries() is None and not is_needed("postgres"), reason="no Postgres server is installed"
)


@needs_postgres
@pytest.mark.slow
def test_engine_benchmark_delivers_all_on_both_ledgers_and_by_every_peer_that_is_installed(reachable):
    slower = ["--fsync-delay-ms", "20"] if shutil.which("cc") else []
    counts = run_small("engine", reachable, *slower)["counts"]
    peers = {f"{name}: delivered": 64 for name in ("procrastinate", "dbos") if find_spec(name)}
    assert counts == {"wharfinger, SQLite: delivered": 256, "wharfinger, Postgres: delivered": 256} | peers


needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="the load comes through OpenSSH's client")


@needs_ssh
@pytest.mark.slow
def test_every_server_holds_what_the_ingest_benchmark_sent(tmp_path):
    slower = ["--fsync-delay-ms", "20"] if shutil.which("cc") else []
    counts = run_small("ingest", tmp_path, *slower)["counts"]
    assert counts.pop("sent to each") == 128
    assert set(counts.values()) == {128}
    assert {"wharfinger holds", "plain asyncssh holds"} <= set(counts)


@needs_ssh
@pytest.mark.slow
def test_end_to_end_benchmark_sees_every_file_delivered(tmp_path):
    counts = run_small("end_to_end", tmp_path)["counts"]
    assert counts == {"delivered in floods": 128, "delivered when paced": 80}


@needs_ssh
@needs_postgres
@pytest.mark.slow
def test_end_to_end_benchmark_sees_every_file_delivered_on_postgres(reachable):
    counts = run_small("end_to_end", reachable, "--ledger", "postgres")["counts"]
    assert counts == {"delivered in floods": 128, "delivered when paced": 80}


@needs_ssh
@pytest.mark.slow
def test_fairness_benchmark_sees_both_customers_served(tmp_path):
    counts = run_small("fairness", tmp_path)["counts"]
    assert counts == {"probes delivered": 60, "dumped and delivered": 1000}


@pytest.mark.slow
def test_s3_benchmark_puts_what_it_says(tmp_path):
    counts = run_small("s3", tmp_path)["counts"]
    put, received = ({k: n for k, n in counts.items() if k.endswith(end)} for end in ("put", "received"))
    assert list(put.values()) == list(received.values())
    assert sorted(put.values()) == [16, 256, 256]


@pytest.mark.slow
@pytest.mark.parametrize("ledger", ["sqlite", pytest.param("postgres", marks=needs_postgres)])
def test_backlog_benchmark_drains_all_that_arrived(reachable, ledger):
    counts = run_small("backlog", reachable, "--ledger", ledger)["counts"]
    assert counts == {"arrived": 4000, "settled": 4000, "left": 0}


@pytest.mark.slow
@pytest.mark.parametrize("ledger", ["sqlite", pytest.param("postgres", marks=needs_postgres)])
def test_groups_benchmark_leaves_in_line_what_is_behind(reachable, ledger):
    counts = run_small("groups", reachable, "--ledger", ledger)["counts"]
    assert counts == {"behind": 299, "leased": 1}


SOAK_MINUTES = float(os.environ.get("WHARF_SOAK_MINUTES", "3"))
FLAT = {"RSS": 1.05, "WAL": 1.25, "table figure": 1.25, "table share": 1.25}  # see decision 161


@pytest.mark.slow
@pytest.mark.timeout(450)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("ledger", ["sqlite", pytest.param("postgres", marks=needs_postgres)])
def test_a_soak_leaves_memory_and_log_as_they_were(reachable, ledger):
    report = run_small("soak", reachable, "--minutes", str(SOAK_MINUTES), "--ledger", ledger, timeout=400)
    assert report["counts"]["sent"] == report["counts"]["delivered"] > 2000 * SOAK_MINUTES
    seen = report["figures"]["samples"]
    for name in FLAT.keys() & seen.keys():
        middle, last = seen[name][len(seen[name]) // 3 :][: len(seen[name]) // 3], seen[name][-len(seen[name]) // 3 :]
        assert 0 < max(last) <= FLAT[name] * max(middle), (name, seen[name])
    assert min(seen["RSS"]) > 10_000_000
    assert ("dead rows" in seen) == (ledger == "postgres")


@pytest.mark.slow
def test_a_soak_sees_a_worker_that_keeps_what_it_read(reachable, monkeypatch):
    monkeypatch.setenv("WHARF_SOAK_MINUTES", "0.75")
    test = "e2e/test_benchmarks.py::test_a_soak_leaves_memory_and_log_as_they_were[sqlite]"
    assert any("'RSS'" in line for line in objections(engine.keeps_what_it_read, test, reachable / "soak"))
