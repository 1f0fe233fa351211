"""The how-to's example, taken from the page, built, installed and run as its reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-step.md"

USE = """
from wharfinger.steps.registry import Registry
steps = Registry()
assert steps.origin("line_ends") == "acme-steps 1.0", steps.origin("line_ends")
assert steps["line_ends"].version == "1"
"""


def written(folder: Path) -> Path:
    """The project that the page shows, file by file."""
    files = re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert [name for name, _ in files] == ["pyproject.toml", "acme_steps/line_ends.py", "tests/test_line_ends.py"]
    for name, text in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.slow
def test_step_of_the_how_to_installs_and_passes_its_tests(tmp_path: Path) -> None:
    project, site = written(tmp_path / "project"), tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*install, "--no-build-isolation", "--no-deps", "--target", site, project], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    subprocess.run([sys.executable, "-W", "error", "-c", USE], env=environment, check=True)
    tests = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", project / "tests"]
    subprocess.run(tests, env=environment, check=True, cwd=project)
