from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import ValidationError

from wharfinger.config.field import option
from wharfinger.errors import Rejected, Transient
from wharfinger.steps import FACTS, Output, Reader, Result, Scratch, Step, testkit
from wharfinger.steps.testkit import PIECE, WHOLE, Breach

Run = Callable[[Sequence[Reader], Any, Scratch], Result]


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a step under test."""

    times: Annotated[int, option("How often.", ge=1)] = 1


def step(run: Run, **changes: Any) -> Step:
    declared = Step(
        name="tested", version="1", help="Does something.", options=Options, run=run, facts={"n": "a number"}
    )
    return replace(declared, **changes)


def repeat(inputs: Sequence[Reader], options: Options, scratch: Scratch) -> Result:
    target = scratch.path / "out"
    target.write_bytes(inputs[0].read() * options.times)
    return Result([Output(target, "out.txt", "text/plain")], {"n": options.times})


def breach(tmp_path: Path, run: Run, why: str, data: bytes = b"data", **changes: Any) -> None:
    with pytest.raises(Breach, match=why):
        testkit.run(step(run, **changes), tmp_path, {"a.txt": data})


def test_run_gives_outputs_and_facts(tmp_path: Path) -> None:
    ran = testkit.run(step(repeat), tmp_path, {"a.txt": b"ab"}, options={"times": 3})
    assert [(made.name, made.media_type, made.data) for made in ran.outputs] == [("out.txt", "text/plain", b"ababab")]
    assert ran.facts == {"n": 3}
    assert ran.delivered == {}


def test_input_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"ab")
    assert testkit.run(step(repeat), tmp_path, {"a.txt": tmp_path / "data"}).outputs[0].data == b"ab"
    assert (tmp_path / "data").read_bytes() == b"ab"


@pytest.mark.parametrize("options", [{"times": 0}, {"times": "2"}, {"times": 2, "tmies": 3}])
def test_options_are_checked_as_in_a_configuration(tmp_path: Path, options: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"times|tmies"):
        testkit.run(step(repeat), tmp_path, {"a": b""}, options=options)


@pytest.mark.parametrize("error", [Transient("the service is away"), Rejected("no"), KeyError("oh")])
def test_what_the_step_raises_comes_through(tmp_path: Path, error: Exception) -> None:
    def fail(*_: object) -> Result:
        raise error

    with pytest.raises(type(error)) as caught:
        testkit.run(step(fail, rejects={"REJECTED": "always"}), tmp_path, {"a": b""})
    assert caught.value is error


def test_code_of_a_rejection_must_be_declared(tmp_path: Path) -> None:
    def reject(*_: object) -> Result:
        raise Rejected("no", code="ODD")

    breach(tmp_path, reject, "rejects with ODD, which it does not declare")
    with pytest.raises(Rejected):
        testkit.run(step(reject, rejects={"ODD": "it is odd"}), tmp_path, {"a": b""})


def test_step_must_do_the_same_twice(tmp_path: Path) -> None:
    calls: list[int] = []

    def drift(inputs: Sequence[Reader], _options: Options, _scratch: Scratch) -> Result:
        calls.append(1)
        return Result([Output.unchanged(inputs[0])], {"n": len(calls)})

    breach(tmp_path, drift, "did not make the same")


def test_output_must_lie_in_scratch(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").touch()
    breach(tmp_path, lambda *_: Result([Output(tmp_path / "elsewhere", "a")]), "no file in the scratch directory")
    breach(tmp_path, lambda *a: Result([Output(a[2].path / "absent", "a")]), "no file in the scratch directory")
    breach(
        tmp_path, lambda *a: Result([Output(a[2].path / "../../elsewhere", "a")]), "no file in the scratch directory"
    )


def test_output_may_be_an_input_but_no_other_reader(tmp_path: Path) -> None:
    other = testkit.Input(Path(__file__), "b", None)
    other.close()
    breach(tmp_path, lambda *_: Result([Output.unchanged(other)]), "no input of the step")
    deliver = {"destinations": lambda _: ["lake"]}
    breach(tmp_path, lambda *a: a[2].destinations["lake"].copy(io.BytesIO(), "b"), "copied a BytesIO", **deliver)


@pytest.mark.parametrize("name", ["../a", "a/b", "", "a\0"])
def test_output_must_have_a_safe_name(tmp_path: Path, name: str) -> None:
    breach(tmp_path, lambda *a: Result([Output(a[0][0], name)]), "the output's name")


def test_facts_must_be_json_small_and_declared(tmp_path: Path) -> None:
    for facts, why in (
        ({"n": object()}, "no JSON"),
        ({"n": float("nan")}, "no JSON"),
        ({"n": "x" * FACTS}, "bytes of JSON; at most 65,536"),
        ({"m": 1}, "does not declare in `facts`: m"),
    ):
        breach(tmp_path, lambda *_, facts=facts: Result([], facts), why)


def test_large_input_must_be_read_in_pieces(tmp_path: Path) -> None:
    breach(tmp_path, repeat, r"read\(\) of an input of 1,048,577 bytes", data=bytes(WHOLE + 1))
    breach(tmp_path, lambda *a: a[0][0].read(PIECE + 1), "read it in bounded pieces")


def test_step_must_return_a_result(tmp_path: Path) -> None:
    breach(tmp_path, lambda *_: None, "returned a NoneType")  # type: ignore[arg-type, return-value]


def test_deliveries_are_kept_under_safe_keys(tmp_path: Path) -> None:
    def deliver(inputs: Sequence[Reader], options: Options, scratch: Scratch) -> Result:
        made = repeat(inputs, options, scratch)
        assert isinstance(made.outputs[0].source, Path)
        lake = scratch.destinations["lake"]
        assert lake.head("in/a") is None
        lake.copy(inputs[0], "in/a")
        lake.put(made.outputs[0].source, "out/b")
        assert lake.head("in/a") == 2
        return made

    delivering = step(deliver, destinations=lambda _: ["lake"])
    assert testkit.run(delivering, tmp_path, {"a": b"ab"}).delivered == {"lake": {"in/a": b"ab", "out/b": b"ab"}}
    with pytest.raises(KeyError):
        testkit.run(step(deliver), tmp_path, {"a": b"ab"})
    breach(
        tmp_path,
        lambda *a: a[2].destinations["lake"].copy(a[0][0], "../x"),
        "has a part '.' or '..'",
        destinations=lambda _: ["lake"],
    )


DECLARATIONS = {
    "name": ({"name": "Not-Good"}, "its name must be"),
    "version": ({"version": ""}, "it needs a version"),
    "help": ({"help": "no sentence"}, "its help must be"),
    "seconds": ({"seconds": 0.0}, "it needs some time"),
}


@pytest.mark.parametrize("case", DECLARATIONS)
def test_declaration_must_be_complete(case: str) -> None:
    testkit.check(step(repeat))
    changes, why = DECLARATIONS[case]
    with pytest.raises(Breach, match=why):
        testkit.check(step(repeat, **changes))


def test_options_must_be_frozen_and_explained() -> None:
    @dataclass
    class Loose:
        times: int = 1

    with pytest.raises(Breach, match=r"frozen dataclass; .* have no help .*\['times'\]"):
        testkit.check(step(repeat, options=Loose))
