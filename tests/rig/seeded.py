"""A suite on a product with a fault in it: what cannot turn red proves nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SEEDED = "WHARF_SEEDED"
"""The variable that names the fault with which a process begins; empty for one that is to have none."""

TESTS = Path(__file__).parents[1]
PATH = [str(Path(__file__).with_name("faulty")), str(TESTS)]

_EARLY = (
    "ignore:Module already imported:pytest.PytestAssertRewriteWarning"  # a fault imports anyio, a plugin of pytest's
)

OPTIONS = ["-q", "--tb=short", "-p", "no:xdist", "--hypothesis-profile", "first", "-W", _EARLY]


def objections(fault: Callable[[], None], test: str, folder: Path) -> list[str]:
    """
    Run `test` ("crash/test_disk.py::test_...") in processes that all have the fault, in `folder`: the lines in which pytest explains
    why it is red. Fails where it is green, and skips where it was skipped.
    """
    path = os.pathsep.join([*PATH, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, f"--basetemp={folder}", str(TESTS / test)],
        env={**os.environ, SEEDED: f"{fault.__module__}.{fault.__name__}", "PYTHONPATH": path},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=100,
    )
    if " skipped" in done.stdout:
        pytest.skip(done.stdout)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, (
        f"{test} accepts that {fault.__doc__} {done.stdout}{done.stderr}"
    )
    return [line for line in done.stdout.splitlines() if line.startswith("E  ")]
