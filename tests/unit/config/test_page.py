"""The reference page names every setting, and the published one is the present one."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from wharfinger import config
from wharfinger.config import entry, settings
from wharfinger.steps import BUILTIN
from wharfinger.steps.registry import Registry

PUBLISHED = Path(__file__).parents[3] / "docs/reference/configuration.md"
REGISTRY = Registry()
PAGE = config.reference({name: REGISTRY[name] for name in BUILTIN})
WRITTEN = [
    settings.Document,
    settings.Listeners,
    settings.Sftp,
    settings.Workers,
    settings.Customer,
    settings.Destination,
    entry.PipelineEntry,
    entry.StepEntry,
    entry.Branch,
    entry.Route,
    entry.Retry,
    settings.Order,
]


@pytest.mark.parametrize("written", WRITTEN)
def test_every_setting_is_in_the_page(written: Any) -> None:
    for field in fields(written):
        assert f"| `{field.name.rstrip('_')}` |" in PAGE


def test_every_section_is_in_the_page_once() -> None:
    assert re.findall("^## (.*)$", PAGE, re.MULTILINE) == [
        "How it is read",
        "The whole file",
        "listeners",
        "listeners.sftp",
        "listeners.http",
        "workers",
        "log",
        "metrics",
        "customers.NAME",
        "sources.NAME",
        "order[N]",
        "destinations.NAME",
        "retention.NAME",
        "pipelines.NAME",
        "pipelines.NAME.steps[N]",
        "pipelines.NAME.steps[N].choose[N]",
        "pipelines.NAME.route",
        "pipelines.NAME.retry",
        "Steps",
        "In an editor",
    ]


def test_the_page_begins_with_a_configuration_that_loads(tmp_path: Path) -> None:
    [text] = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    found = config.load(text, REGISTRY, path=tmp_path / "wharf.yaml", environ={})
    assert [step.name for step in found.pipelines[0].steps] == ["decompress", "checksum", "to-lake", "deliver"]


def test_published_page_is_current() -> None:
    if os.environ.get("WHARF_REGENERATE"):
        PUBLISHED.write_text(PAGE, encoding="utf-8")
    assert PUBLISHED.read_text(encoding="utf-8") == PAGE, (
        "run: WHARF_REGENERATE=1 .venv/bin/python -m pytest tests/unit/config"
    )
