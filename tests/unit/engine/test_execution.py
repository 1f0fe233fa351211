from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rig.yard import STEPS, Yard, a_pipeline, a_step, bound
from wharfinger.engine.execution import FACTS
from wharfinger.model import FileRecord, Status, derive
from wharfinger.steps import Output, Reader, Result, Scratch

SEND = bound("send", "out")


def ran(yard: Yard, run: Any, data: bytes = b"bytes", **more: Any) -> FileRecord:
    """What became of a file that went through this step, and was then delivered."""
    yard.land({"a": data})
    steps = {**STEPS, "step": a_step("step", run, **more)}
    yard.worker(a_pipeline(bound("step"), SEND), steps=steps).turn()
    return yard.records()["a"]


def test_a_step_reads_its_input_in_pieces_and_may_go_back(yard: Yard) -> None:
    def run(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        (source,) = inputs
        seen.append((source.name, source.media_type, source.size, source.sha256 == source.arrival.sha256))
        seen.append((source.read(2), source.tell(), source.read(), source.seek(-2, 2), source.read(9)))
        return Result([Output.unchanged(source)])

    seen: list[Any] = []
    assert ran(yard, run).status == Status.TRANSFERRED
    assert seen == [("a", "text/plain", 5, True), (b"by", 2, b"tes", 3, b"es")]


def test_the_next_step_reads_from_the_beginning(yard: Yard) -> None:
    def run(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        assert inputs[0].read(3) == b"byt"
        return Result([Output.unchanged(inputs[0])])

    yard.land({"a": b"bytes"})
    steps = {**STEPS, "step": a_step("step", run)}
    yard.worker(a_pipeline(bound("step"), bound("step", name="again"), SEND), steps=steps).turn()
    assert yard.visible() == {"acme/a": b"bytes"}


def test_several_outputs_are_the_inputs_of_the_next_step(yard: Yard) -> None:
    def run(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        (scratch.path / "one").write_bytes(b"1")
        return Result(
            [
                Output(scratch.path / "one", "x"),
                Output(scratch.path / "one", "y"),  # the same file under another name
                Output.unchanged(inputs[0], "z"),
            ]
        )

    assert ran(yard, run).status == Status.TRANSFERRED
    assert yard.visible() == {"acme/x": b"1", "acme/y": b"1", "acme/z": b"bytes"}
    assert len({each.version for each in yard.records()["a"].delivered}) == 3


def test_a_file_handed_on_twice_is_kept_once(yard: Yard) -> None:
    def run(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        (scratch.path / "one").write_bytes(b"1")
        return Result([Output(scratch.path / "one", "x"), Output(scratch.path / "one", "y")])

    yard.land({"a": b"bytes"})
    steps = {**STEPS, "step": a_step("step", run)}
    yard.worker(a_pipeline(bound("step", checkpoint=True), SEND), steps=steps).turn()
    assert yard.visible() == {"acme/x": b"1", "acme/y": b"1"}


def test_without_outputs_the_next_step_has_no_inputs(yard: Yard) -> None:
    assert ran(yard, lambda *_: Result([])).status == Status.TRANSFERRED
    assert yard.visible() == {}


def test_a_step_may_put_a_file_of_its_own_and_look_at_the_destination(yard: Yard) -> None:
    def run(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        (scratch.path / "side").write_bytes(b"side")
        scratch.destinations["out"].put(scratch.path / "side", "acme/side")
        return Result([], {"found": scratch.destinations["out"].head("acme/side")})

    assert ran(yard, run, destinations=lambda _: ("out",)).status == Status.TRANSFERRED
    assert yard.visible() == {"acme/side": b"side"}
    record = yard.records()["a"]
    assert yard.catalog.events(record.file_id)[-1].data["facts"] == {"step": {"found": None}}
    assert record.delivered[0].version == derive(record.version, record.file_id, record.revision, "step", "delivery 0")


LAKE = a_pipeline(bound("step", checkpoint=True), bound("send", "lake"))


def writing(data: bytes) -> Any:
    """The steps, with one that writes this."""

    def run(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        (scratch.path / "made").write_bytes(data)
        return Result([Output(scratch.path / "made", inputs[0].name)])

    return {**STEPS, "step": a_step("step", run)}


def replayed(yard: Yard, pipeline: Any, data: bytes) -> FileRecord:
    """What became of the file after a replay with a step that now writes this."""
    yard.ledger.replay([yard.records()["a"].file_id])
    yard.worker(pipeline, steps=writing(data)).turn()
    return yard.records()["a"]


def test_a_replay_under_a_changed_pipeline_delivers_the_new_bytes_beside_the_old(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    yard.worker(LAKE, steps=writing(b"before")).turn()
    record = replayed(yard, replace(LAKE, revision="f" * 64), b"after")
    assert yard.lake() == {"acme/a": [b"before", b"after"]}
    assert record.status == Status.TRANSFERRED
    assert [each.sha256 for each in record.delivered][-1] == hashlib.sha256(b"after").hexdigest()


def test_a_replay_under_the_same_pipeline_changes_nothing(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    yard.worker(LAKE, steps=writing(b"before")).turn()
    assert replayed(yard, LAKE, b"before").status == Status.TRANSFERRED
    assert yard.lake() == {"acme/a": [b"before"]}


def test_a_step_that_writes_other_bytes_at_a_repeat_never_passes_them_off_as_delivered(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    yard.worker(LAKE, steps=writing(b"before")).turn()
    record = replayed(yard, LAKE, b"after")
    assert record.error_message.startswith("INTEGRITY_MISMATCH: other bytes lie in the store as lake/acme/a#")
    assert record.status != Status.TRANSFERRED
    assert yard.lake() == {"acme/a": [b"before"]}


class Foreign:
    """A reader that is none of the inputs."""

    name, media_type, size, sha256 = "x", "text/plain", 1, ""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(b"secret")
    return path


def test_outputs_lie_in_scratch(yard: Yard, outside: Path) -> None:
    def escape(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        return Result([Output(outside, "a")])

    record = ran(yard, escape)
    assert record.error_message == "STEP_ERROR: the step's output is no plain file in its scratch directory"
    assert yard.visible() == {}


def test_a_link_out_of_scratch_is_no_output(yard: Yard, outside: Path) -> None:
    def escape(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        (scratch.path / "a").symlink_to(outside)
        return Result([Output(scratch.path / "a", "a")])

    assert ran(yard, escape).error_message.startswith("STEP_ERROR: the step's output is no plain file")


def test_a_linked_scratch_directory_leads_nowhere(yard: Yard, outside: Path) -> None:
    def escape(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        (scratch.path / "sub").symlink_to(outside.parent)
        scratch.destinations["out"].put(scratch.path / "sub" / "secret", "acme/a")
        return Result([])

    record = ran(yard, escape, destinations=lambda _: ("out",))
    assert record.error_message.startswith("STEP_ERROR: the step's output is no plain file")
    assert yard.visible() == {}


def test_a_directory_is_no_output(yard: Yard) -> None:
    record = ran(yard, lambda _inputs, _told, scratch: Result([Output(scratch.path, "a")]))
    assert record.error_message.startswith("STEP_ERROR: the step's output is no plain file")


def test_only_inputs_and_files_are_handed_on(yard: Yard) -> None:
    record = ran(yard, lambda *_: Result([Output(Foreign(), "a")]))  # type: ignore[arg-type]
    assert record.error_message == "STEP_ERROR: the step hands on something that is none of its inputs"


def test_an_output_has_a_name_that_utf_8_can_write(yard: Yard) -> None:
    record = ran(yard, lambda inputs, *_: Result([Output.unchanged(inputs[0], "caf\udce9")]))
    assert record.error_message == "STEP_ERROR: the name of the step's output is no text that UTF-8 can write"


def test_only_inputs_are_copied(yard: Yard) -> None:
    def run(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        scratch.destinations["out"].copy(Foreign(), "a")  # type: ignore[arg-type]
        return Result([])

    record = ran(yard, run, destinations=lambda _: ("out",))
    assert record.error_message == "STEP_ERROR: the step copies something that is none of its inputs"


def test_facts_of_64_kb_are_kept_and_larger_ones_fail(yard: Yard) -> None:
    text = "x" * (FACTS - len('{"text":""}'))
    assert ran(yard, lambda *_: Result([], {"text": text})).status == Status.TRANSFERRED
    record = ran(yard, lambda *_: Result([], {"text": text + "x"}))
    assert (
        record.error_message == f"STEP_ERROR: the step's facts take {FACTS + 1} bytes of JSON; at most {FACTS} are kept"
    )


def test_facts_are_json(yard: Yard) -> None:
    record = ran(yard, lambda *_: Result([], {"a": object()}))
    assert record.error_message == "STEP_ERROR: the step's facts are no JSON"


class Panic(BaseException):
    """As a library in another language raises it."""


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), Panic(), MemoryError(), RecursionError()], ids=repr
)
def test_the_worker_outlives_whatever_a_step_raises(yard: Yard, error: BaseException) -> None:
    def run(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        raise error

    assert ran(yard, run).error_message.startswith(f"STEP_ERROR: {type(error).__name__}, at test_execution.py")


def test_a_step_that_answers_nonsense_is_at_fault(yard: Yard) -> None:
    assert ran(yard, lambda *_: None).error_message.startswith("STEP_ERROR: AttributeError")


def test_a_full_scratch_disk_is_no_fault_of_the_file(yard: Yard) -> None:
    def run(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        raise OSError(28, os.strerror(28))

    record = ran(yard, run)
    assert (record.attempts, record.error_message) == (0, "NO_SPACE: OSError: No space left on device")


def test_the_hash_of_what_a_step_made_is_taken_once(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    from wharfinger.engine import input

    def counted(file: Any) -> str:
        taken.append(1)
        return original(file)

    original, taken = input._sha256, []  # type: ignore[var-annotated]
    monkeypatch.setattr(input, "_sha256", counted)
    yard.land({"a": b"bytes"})
    yard.worker(a_pipeline(bound("upper", checkpoint=True), bound("send", "lake", name="one"), SEND)).turn()
    assert yard.statuses() == {"a": "transferred"}
    assert len(taken) == 1
