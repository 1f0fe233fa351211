"""A step that takes its process down with it, among a hundred innocents."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rig.account import Account, delivered, name
from rig.serving import CONFIG, Serving, prepare, wharf
from rig.uploading import upload

pytestmark = pytest.mark.slow

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
    sent = {f"f{n:03d}": b"innocent %d" % n for n in range(100)} | {"f050-poison": b"POISON"}
    account = Account(tmp_path, dict.fromkeys(sent, b""))
    with Serving(tmp_path) as serving:
        upload(sent, tmp_path / "key", serving.port)
        records = account.settle()
    dead = next(record for record in records if name(record) == "f050-poison")
    assert {name(record): record["status"] for record in records if record["status"] != "transferred"} == {
        "f050-poison": "quarantined"
    }
    assert dead["error_message"].startswith("POISON: ")
    events = wharf(tmp_path, "file", dead["file_id"])["events"]
    assert [event["kind"] for event in events] == ["arrived", "expired", "expired", "expired", "quarantined"]
    assert [event["data"]["alone"] for event in events[1:4]] == [False, True, True]
    account.watch.read()
    assert account.watch.moved == {delivered(record): 1 for record in records if record is not dead}
    assert {record["attempts"] for record in records if record is not dead} == {1}
