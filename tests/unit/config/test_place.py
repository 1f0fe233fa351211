from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest

from wharfinger.config.entry import Retry
from wharfinger.config.loading import read
from wharfinger.config.place import DEFAULTS, KEYS, TRIES, Glance, glance
from wharfinger.config.settings import Document
from wharfinger.steps.registry import Registry

TEXT = """\
data: ./custody
bucket: landing
min_free: 5
customers: {acme: {}}
pipelines:
  patient: {retry: {tries: 9}, steps: [checksum]}
  plain: {steps: [checksum]}
"""


def seen(tmp_path: Path, text: str, **environ: str) -> Glance | None:
    path = tmp_path / "wharf.yaml"
    path.write_text(text)
    return glance(path, environ)


def test_the_defaults_are_those_of_the_declarations() -> None:
    declared = Document()
    assert {name: getattr(declared, name) for name in DEFAULTS} == {**DEFAULTS, "data": Path(DEFAULTS["data"])}
    assert Retry().tries == TRIES
    assert [field.name for field in fields(Document)] == list(KEYS)


@pytest.mark.parametrize("text", [TEXT, "", "customers: {}\ndata:\n", '{"data": "/abs", "store": "file:///x"}'])
@pytest.mark.parametrize("environ", [{}, {"WHARF_DATA": "./elsewhere", "WHARF_MIN_FREE": "7"}])
def test_a_glance_sees_what_the_whole_reading_sees(tmp_path: Path, text: str, environ: dict[str, str]) -> None:
    found = seen(tmp_path, text, **environ)
    whole = read(tmp_path / "wharf.yaml", Registry(), environ)
    assert found is not None
    assert [getattr(found, name) for name in DEFAULTS] == [getattr(whole, name) for name in DEFAULTS]
    assert found.tries == {pipeline.name: pipeline.retry.tries for pipeline in whole.pipelines}


def test_a_mistake_elsewhere_does_not_hide_the_place(tmp_path: Path) -> None:
    found = seen(tmp_path, TEXT.replace("checksum", "chekcsum"))
    assert found is not None
    assert found.data == tmp_path / "custody"


@pytest.mark.parametrize(
    "text",
    [
        "dta: ./custody",
        "data ./custody",
        "[data]",
        TEXT.replace("tries: 9", "tries: nine"),
        "data: 5",
        "min_free: '5'",
        "min_free: true",
        "data: [",
        "data: x\ndata: y",
        "bucket: [a]",
        "bucket: checkpoints",
        "bucket: ../a",
        "bucket: ''",
    ],
)
def test_what_is_in_doubt_is_left_to_the_whole_reading(tmp_path: Path, text: str) -> None:
    assert seen(tmp_path, text) is None


def test_a_file_that_cannot_be_read_is_left_to_the_whole_reading(tmp_path: Path) -> None:
    assert glance(tmp_path / "none.yaml", os.environ) is None
    (tmp_path / "latin.yaml").write_bytes(b"data: \xff")
    assert glance(tmp_path / "latin.yaml", os.environ) is None
