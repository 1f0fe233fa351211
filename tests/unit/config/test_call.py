"""Steps that call pipelines: what is meant, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from wharfinger import config
from wharfinger.config import call
from wharfinger.config.settings import BoundCall, BoundStep, Pipeline
from wharfinger.steps import Step

from .conftest import STEPS, Either, Load

Mistakes = Callable[..., list[str]]


def pipelines(load: Load, text: str) -> dict[str, Pipeline]:
    return {pipeline.name: pipeline for pipeline in load(text).pipelines}


def calls(pipeline: Pipeline) -> list[BoundCall]:
    return [step for step in pipeline.steps if isinstance(step, BoundCall)]


TEXT = """\
pipelines:
  p:
    steps:
      - note
      - pipeline: a.b
      - {parallel: [one, two], name: both, on_child_failure: continue}
      - choose: [{when: "file.size > 1", pipeline: one}, two]
      - {each: member, pipeline: one, members: 7, when: "steps.both.failed == 0"}
  a.b: {steps: [note]}
  one: {steps: [note]}
  two: {route: {}, steps: [note]}
"""


def test_each_kind_of_call_names_its_pipelines(load: Load) -> None:
    found = calls(pipelines(load, TEXT)["p"])
    assert [(each.name, each.kind, [branch.pipeline for branch in each.branches]) for each in found] == [
        ("a-b", "pipeline", ["a.b"]),
        ("both", "parallel", ["one", "two"]),
        ("choose", "choose", ["one", "two"]),
        ("one", "each", ["one"]),
    ]
    assert [each.on_child_failure for each in found] == ["fail", "continue", "fail", "fail"]
    assert [each.members for each in found] == [10_000, 10_000, 10_000, 7]
    assert [branch.when is not None for branch in found[2].branches] == [True, False]


def test_what_others_call_takes_no_files_unless_it_has_a_route(load: Load) -> None:
    found = pipelines(load, TEXT)
    assert {name: pipeline.is_routed for name, pipeline in found.items()} == {
        "p": True,
        "a.b": False,
        "one": False,
        "two": True,
    }


def test_a_revision_changes_with_those_of_the_pipelines_that_are_called(load: Load) -> None:
    before = pipelines(load, TEXT)
    after = pipelines(load, TEXT.replace("one: {steps: [note]}", "one: {steps: [note, unzip]}"))
    assert before["p"].revision != after["p"].revision
    assert before["two"].revision == after["two"].revision
    described = json.loads(before["p"].document)["steps"][4]
    assert described["branches"] == [{"pipeline": "one", "revision": before["one"].revision, "when": ""}]


def test_pipelines_stand_in_the_order_of_the_file(load: Load) -> None:
    assert [pipeline.name for pipeline in load(TEXT).pipelines] == ["p", "a.b", "one", "two"]


COPIES = """\
destinations: {lake: {bucket: lake}, sea: {bucket: sea}}
pipelines:
  p: {retry: {tries: 7}, steps: [{copies: [lake, sea]}]}
"""


def with_deliver(text: str) -> dict[str, Pipeline]:
    deliver: Step = replace(STEPS["fan"], name="deliver", destinations=lambda options: (options.to,))
    found = config.load(text, {**STEPS, "deliver": deliver}, path=Path("/etc/wharf/wharf.yaml"), environ={})
    return {pipeline.name: pipeline for pipeline in found.pipelines}


def test_copies_are_calls_of_pipelines_that_only_deliver() -> None:
    found = with_deliver(COPIES)
    [step] = calls(found["p"])
    assert (step.name, step.kind) == ("copies", "copies")
    assert [branch.pipeline for branch in step.branches] == ["p:lake", "p:sea"]
    copy = found["p:sea"]
    assert (copy.is_routed, copy.retry.tries) == (False, 7)
    [delivery] = copy.steps
    assert isinstance(delivery, BoundStep)
    assert (delivery.uses, delivery.options) == ("deliver", Either(to="sea"))
    assert "sea" in json.loads(copy.document)["destinations"]


def test_where_nothing_delivers_there_are_no_copies(mistakes: Mistakes) -> None:
    assert "it takes the step 'deliver', and there is none" in mistakes(COPIES)[0]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("{pipeline: onne}", "steps[0].pipeline: no pipeline 'onne'; did you mean 'one'?"),
        ("{parallel: [one, tw0]}", "steps[0].parallel[1]: no pipeline 'tw0'; did you mean 'two'?"),
        (
            "{choose: [{when: 'file.size > 1', pipeline: x}]}",
            "steps[0].choose[0].pipeline: no pipeline 'x'; there are:",
        ),
        ("{choose: [one, two]}", "steps[0].choose[0]: without a `when` it is always taken"),
        ("{choose: [{when: 'file.sise > 1', pipeline: one}]}", "did you mean 'file.size'?"),
        ("{copies: [lake]}", "steps[0].copies[0]: no destination 'lake'; there is none"),
        ("{uses: note, pipeline: one}", "steps[0]: a step has exactly one of `uses`, `pipeline`"),
        ("{name: x}", "steps[0]: a step has exactly one of `uses`, `pipeline`"),
        ("{pipeline: one, with: {a: 1}}", "steps[0]: `with` belongs to a step with `uses`; this one has `pipeline`"),
        ("{parallel: [one], checkpoint: true}", "`checkpoint` belongs to a step with `uses`; this one has `parallel`"),
        ("{parallel: [one], each: member}", "`each` calls one pipeline for each member: name it by `pipeline`"),
        ("{parallel: [one, one]}", "`parallel` names 'one' twice"),
        ("{pipeline: one, each: members}", "steps[0].each: expected 'member' or null, found the text 'members'"),
        ("{pipeline: one, each: member, members: 0}", "steps[0].members: expected"),
        ("{pipeline: one, on_child_failure: ignore}", "steps[0].on_child_failure: expected 'fail' or 'continue'"),
        ("{pipeline: p}", "pipelines.p.steps: pipelines call each other in a circle: p > p"),
    ],
)
def test_what_is_wrong_with_a_call_is_said(step: str, words: str, mistakes: Mistakes) -> None:
    text = f"pipelines:\n  p: {{steps: [{step}]}}\n  one: {{steps: [note]}}\n  two: {{steps: [note]}}\n"
    assert any(words in line for line in mistakes(text)), mistakes(text)


def test_a_second_call_of_a_pipeline_needs_a_name_of_its_own(mistakes: Mistakes) -> None:
    text = "pipelines: {p: {steps: [{pipeline: one}, {pipeline: one}]}, one: {steps: [note]}}"
    assert "an earlier step is called 'one' already" in mistakes(text)[0]


def test_facts_of_a_call_are_known(load: Load, mistakes: Mistakes) -> None:
    text = "pipelines: {p: {steps: [{pipeline: one}, {uses: note, when: 'steps.one.FACT > 0'}]}, one: {steps: [note]}}"
    for fact in call.FACTS:
        load(text.replace("FACT", fact))
    assert "step 'one' states no 'lost'" in "\n".join(mistakes(text.replace("FACT", "lost")))


def chain(length: int) -> str:
    inner = "".join(f"  p{n}: {{steps: [{{pipeline: p{n + 1}}}]}}\n" for n in range(length))
    return f"pipelines:\n{inner}  p{length}: {{steps: [note]}}\n"


def test_calls_go_so_deep_and_no_deeper(load: Load, mistakes: Mistakes) -> None:
    load(chain(call.DEPTH))
    [line] = mistakes(chain(call.DEPTH + 1))
    assert "pipelines.p0.steps: pipelines call one another 6 deep: p0 > p1" in line


def test_a_circle_is_told_once(mistakes: Mistakes) -> None:
    text = "pipelines: {a: {steps: [{pipeline: b}]}, b: {steps: [{pipeline: c}]}, c: {steps: [{pipeline: a}]}}"
    [line] = mistakes(text)
    assert "in a circle: a > b > c > a" in line


def test_a_pipeline_that_two_others_call_is_there_once(load: Load) -> None:
    text = "pipelines: {a: {steps: [{pipeline: c}]}, b: {steps: [{pipeline: c}]}, c: {steps: [note]}}"
    assert [pipeline.name for pipeline in load(text).pipelines] == ["a", "b", "c"]
