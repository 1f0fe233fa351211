"""Each benchmark runs small and its counts are right. Its times mean nothing and are not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run_small(name: str, tmp_path: Path, *options: str) -> dict[str, Any]:
    """The report of a small run."""
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "working files were left behind"
    (report,) = (tmp_path / "out").glob("*.json")
    assert report.with_suffix(".md").read_text().startswith("# ")
    return json.loads(report.read_text())


@pytest.mark.slow
def test_ledger_benchmark_fills_what_it_says_and_claims_after_a_kill(tmp_path):
    counts = run_small("ledger", tmp_path)["counts"]
    assert counts == {"transferred of 2000": 2000, "transferred of 4000": 4000, "claimed after kill -9": 64}
