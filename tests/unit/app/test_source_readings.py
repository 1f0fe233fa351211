"""What Prometheus is told of sources that are looked at, that hang, and that nobody has looked at yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wharfinger.app.backends import registry
from wharfinger.app.metrics import source_readings
from wharfinger.config.loading import load
from wharfinger.config.settings import Settings
from wharfinger.ingest.account import Account, record

GOOD = Account("drop", 1000.0, listed=3, in_custody=1, landed=1, waiting=0, unaccounted=2)
CONFIG = """
data: {data}
customers: {{acme: {{}}}}
sources:
  drop: {{customer: acme, directory: ./drop, scan_s: 10}}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    text = CONFIG.format(data=tmp_path)
    return load(text, registry(), path=tmp_path / "wharf.yaml", environ={})


def figures(settings: Settings, now: float) -> dict[str, float]:
    return {reading.name.removeprefix("wharf_"): reading.value for reading in source_readings(settings, 900.0, now)}


def test_what_was_just_looked_at_is_up(settings: Settings) -> None:
    record(settings.data, GOOD)
    assert figures(settings, 1100.0) == {"source_up": 1.0, "source_look_age_seconds": 100.0, "unaccounted_files": 2.0}


def test_of_what_nobody_looks_at_any_more_no_figure_is_known(settings: Settings) -> None:
    record(settings.data, GOOD)
    assert figures(settings, 1101.0) == {"source_up": 0.0, "source_look_age_seconds": 101.0}


def test_what_cannot_be_looked_at_is_down(settings: Settings) -> None:
    record(settings.data, replace(GOOD, error="NO_FOLDER: it is not there"))
    assert figures(settings, 1001.0) == {"source_up": 0.0, "source_look_age_seconds": 1.0}


def test_what_was_never_looked_at_is_told_as_down(settings: Settings) -> None:
    assert figures(settings, 901.0) == {"source_up": 0.0, "source_look_age_seconds": 1.0}
