"""A step that takes its process down with it, among a hundred innocents."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rig.account import Account, Record, delivered, name
from rig.serving import CONFIG, Serving, prepare, put, wharf

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]

STEPS = """
import os, signal
from dataclasses import dataclass
from wharfinger.steps import Output, Result, Step

@dataclass(frozen=True)
class Options:
    pass

def run(inputs, options, scratch):
    if inputs[0].read(6) == b"POISON":
        os.kill(os.getpid(), signal.SIGKILL)
    return Result([Output.unchanged(inputs[0])])

STEP = Step(name="fragile", version="1", help="Dies of poison.", options=Options, run=run)
"""


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step above, installed as somebody else's distribution."""
    site = tmp_path / "site"
    info = site / "fragile_step-1.dist-info"
    info.mkdir(parents=True)
    (site / "fragile_step.py").write_text(STEPS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fragile-step\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[wharfinger.steps]\nfragile = fragile_step:STEP\n")
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)


@pytest.mark.usefixtures("fragile")
def test_a_step_that_kills_its_process_kills_no_other_file(tmp_path: Path) -> None:
    prepare(tmp_path, CONFIG.replace("    steps:\n", "    steps:\n      - fragile\n"))
    innocents = {f"f{n:03d}": b"innocent %d" % n for n in range(100)}
    account = Account(tmp_path, dict.fromkeys(["f050-poison", *innocents], b""))
    put(tmp_path, dict(sorted({**innocents, "f050-poison": b"POISON"}.items())))
    with Serving(tmp_path):
        records = {name(record): record for record in account.settle()}
    assert {who: record["status"] for who, record in records.items()} == {
        "f050-poison": "quarantined",
        **dict.fromkeys(innocents, "transferred"),
    }
    dead = records.pop("f050-poison")
    assert dead["error_message"].startswith("POISON: ")
    events = history(tmp_path, dead)
    assert [event["kind"] for event in events] == ["arrived", "expired", "expired", "expired", "quarantined"]
    assert [event["data"]["alone"] for event in events[1:4]] == [False, True, True]
    neighbour = history(tmp_path, records["f050"])
    assert [event["kind"] for event in neighbour] == ["arrived", "expired", "transferred"], "they ran together"
    account.watch.read()
    assert account.watch.moved == {delivered(record): 1 for record in records.values()}
    assert {record["attempts"] for record in records.values()} == {1}


def history(directory: Path, record: Record) -> list[Mapping[str, Any]]:
    events: list[Mapping[str, Any]] = wharf(directory, "file", record["file_id"])["events"]
    return events
