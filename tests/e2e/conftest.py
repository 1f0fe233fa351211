"""Fixtures of the tests that run the real command."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.command import CONFIG, Wharf


@pytest.fixture
def wharf(tmp_path: Path) -> Wharf:
    """The command in a directory that has a configuration and nothing else."""
    (tmp_path / "wharf.yaml").write_text(CONFIG)
    (tmp_path / "out").mkdir()
    return Wharf(tmp_path)


@pytest.fixture
def empty(tmp_path: Path) -> Wharf:
    """The command where there is nothing at all."""
    return Wharf(tmp_path)
