"""A revision names what a pipeline does: it changes with that, and with nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from wharfinger import config

from .conftest import STEPS, Load

TEXT = """\
customers: {acme: }
destinations: {lake: {directory: lake}, other: {bucket: other}}
pipelines:
  p:
    route: {key: "*.csv", when: "file.size > 0"}
    retry: {tries: 3}
    steps:
      - unzip
      - {uses: send, when: "steps.unzip.bytes > 1", with: {to: lake, speed: 2}}
"""


def revision(load: Load, text: str) -> str:
    return load(text).pipelines[0].revision


def test_revision_is_the_hash_of_the_resolved_document(load: Load) -> None:
    pipeline = load(TEXT).pipelines[0]
    assert pipeline.revision == hashlib.sha256(pipeline.document.encode()).hexdigest()
    assert json.loads(pipeline.document) == {
        "name": "p",
        "route": {"customer": [], "key": ["*.csv"], "type": [], "when": "file.size > 0"},
        "retry": {"tries": 3, "base_s": 30.0, "cap_s": 900.0},
        "steps": [
            {"name": "unzip", "uses": "unzip@1", "with": {}, "when": "", "checkpoint": False},
            {
                "name": "send",
                "uses": "send@1",
                "with": {
                    "to": "lake",
                    "level": 6,
                    "mode": "fast",
                    "speed": 2.0,
                    "only": ["a", "b", "c"],
                    "folder": "/etc/wharf/scratch",
                    "limits": {"ratio": 200},
                },
                "when": "steps.unzip.bytes > 1",
                "checkpoint": False,
            },
        ],
        "destinations": {"lake": {"bucket": "", "directory": "/etc/wharf/lake", "prefix": ""}},
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tries: 3", "tries: 4"),
        ("*.csv", "*.tsv"),
        ("file.size > 0", "file.size > 1"),
        ("directory: lake", "directory: sea"),
        ("directory: lake", "directory: lake, prefix: a/"),
        ("speed: 2", "speed: 3"),
        ("bytes > 1", "bytes > 2"),
        ("- unzip", "- {uses: unzip, checkpoint: true}"),
        ("- unzip", "- unzip\n      - note"),
        ("to: lake", "to: other"),
        ("  p:", "  q:"),
    ],
)
def test_revision_changes_with_what_the_pipeline_does(old: str, new: str, load: Load) -> None:
    assert old in TEXT
    assert revision(load, TEXT.replace(old, new)) != revision(load, TEXT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tries: 3", "base_s: 30"),
        ("tries: 3", "cap_s: 9.0e2"),
        ("- unzip", "- {uses: unzip, with: {}, checkpoint: false}"),
        ("speed: 2", "limits: {ratio: 200}, speed: 2.0"),
        ("bucket: other", "bucket: another"),
        ("acme: }", "acme: {weight: 9}}\nworkers: {count: 9}"),
        ("directory: lake", "directory: ./lake"),
        ("directory: lake", "directory: lake, keeps: true"),
    ],
)
def test_revision_does_not_change_with_anything_else(old: str, new: str, load: Load) -> None:
    assert old in TEXT
    assert revision(load, TEXT.replace(old, new)) == revision(load, TEXT)


def test_another_version_of_a_step_is_another_revision(load: Load) -> None:
    newer = {**STEPS, "unzip": replace(STEPS["unzip"], version="2")}
    found = config.load(TEXT, newer, path=Path("/etc/wharf/wharf.yaml"), environ={}).pipelines[0]
    assert found.steps[0].version == "2"
    assert found.revision != revision(load, TEXT)


def test_a_pipeline_that_delivers_to_no_destination_ignores_them(load: Load) -> None:
    text = "pipelines: {p: {steps: [note]}}\n"
    assert revision(load, text) == revision(load, text + "destinations: {lake: {bucket: lake}}")


def test_a_step_keeps_a_checkpoint_as_it_says_or_as_it_is_told(load: Load) -> None:
    steps = load(
        "pipelines: {p: {steps: [costly, {uses: costly, name: b, checkpoint: false}, {uses: note, checkpoint: true}]}}"
    )
    assert [step.checkpoint for step in steps.pipelines[0].steps] == [True, False, True]


def test_steps_may_look_at_all_facts_of_those_that_declare_none(load: Load) -> None:
    assert load("pipelines: {p: {steps: [note, {uses: note, name: b, when: 'steps.note.any.thing == 1'}]}}")
    assert load("pipelines: {p: {steps: [unzip, {uses: note, when: 'steps.unzip.inputs.0.bytes == 1'}]}}")
