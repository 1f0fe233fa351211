"""What every step must keep, whoever wrote it: one suite over all that are registered."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from rig.archives import zipped
from wharfinger.errors import Rejected
from wharfinger.steps import BUILTIN, Scratch, testkit
from wharfinger.steps.reference import describe
from wharfinger.steps.registry import Registry

STEPS = Registry()

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "deliver": {"to": ["lake", "partner"]},
    "rename": {"to": "{stem}-{date:%Y%m%d}{suffix}"},
}
"""What a step must be told at least. A new step with a required option gets a line here."""

INPUTS: Mapping[str, bytes] = {
    "empty.csv": b"",
    "one byte": b"x",
    "orders.csv": b"id,amount\n1,2\n" * 5000,
    "orders.csv.gz": gzip.compress(b"id,amount\n" * 5000),
    "Überweisung #7 100%.zip": zipped({"a b.csv": b"id\n"}),
    "zeros.bin": bytes(2 << 20),
    ".hidden": b"\x1f\x8b",
    "cut.zip": zipped({"a.csv": b"id\n" * 100})[:60],
}


@pytest.mark.parametrize("name", BUILTIN)
def test_declaration_is_complete(name: str) -> None:
    testkit.check(STEPS[name])


@pytest.mark.parametrize("file", INPUTS)
@pytest.mark.parametrize("name", BUILTIN)
def test_step_keeps_the_contract_whatever_the_bytes(name: str, file: str, tmp_path: Path) -> None:
    with suppress(Rejected):  # the test kit has seen to it that the code is declared
        ran = testkit.run(STEPS[name], tmp_path, {file: INPUTS[file]}, options=OPTIONS.get(name, {}))
        assert len(ran.outputs) == 1


@pytest.mark.parametrize("name", BUILTIN)
def test_several_inputs_are_taken_in_their_order(name: str, tmp_path: Path) -> None:
    ran = testkit.run(STEPS[name], tmp_path, {"a.csv": b"1", "b.csv": b"22"}, options=OPTIONS.get(name, {}))
    assert [made.name[0] for made in ran.outputs] == ["a", "b"]
    assert len(ran.facts["inputs"]) == 2


@pytest.mark.parametrize("name", BUILTIN)
def test_options_round_trip_through_the_configuration(name: str) -> None:
    adapter = TypeAdapter(STEPS[name].options)
    given = adapter.validate_python(OPTIONS.get(name, {}))
    assert adapter.validate_json(adapter.dump_json(given)) == given


@pytest.mark.parametrize("name", BUILTIN)
def test_examples_of_options_are_valid(name: str) -> None:
    examples = {option.name: option.example for option in describe(STEPS[name]).options if option.example is not None}
    testkit.configured(STEPS[name], {**OPTIONS.get(name, {}), **examples})


@pytest.mark.parametrize("name", BUILTIN)
def test_step_leaves_nothing_outside_scratch(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside, scratch = tmp_path / "outside", tmp_path / "scratch"
    outside.mkdir()
    monkeypatch.chdir(outside)
    (tmp_path / "input").write_bytes(INPUTS["orders.csv.gz"])
    source = testkit.Input(tmp_path / "input", "orders.csv.gz", None)
    options = testkit.configured(STEPS[name], OPTIONS.get(name, {}))
    try:
        STEPS[name].run([source], options, Scratch(scratch, {"lake": testkit.Kept(), "partner": testkit.Kept()}))
    finally:
        source.close()
    assert not list(outside.iterdir())
    assert (tmp_path / "input").read_bytes() == INPUTS["orders.csv.gz"]
