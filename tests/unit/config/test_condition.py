"""The language of `when:`. What it means stands in `conditions.json`, which any other renderer has to satisfy as well."""

from __future__ import annotations

import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.config import condition
from wharfinger.config.expression import And, Compare, Exists, Expr, Glob, In, Literal, Name, Not, Or, names
from wharfinger.config.grammar import CUSTOMER, FILE, MEMBER

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("conditions.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=[f"{n}: {case['text']}" for n, case in enumerate(CASES, 1)])
def test_condition_means_what_the_table_says(case: dict[str, Any]) -> None:
    assert condition.compile(case["text"])(case["context"]) is case["expected"]


def test_table_holds_every_operator_with_both_outcomes() -> None:
    seen = {(type(part).__name__, getattr(part, "op", ""), c["expected"]) for c in CASES for part in _parts(c["text"])}
    assert len(CASES) >= 120
    for kind, op in [("Compare", op) for op in ("==", "<", "<=", ">", ">=")] + [
        (k, "") for k in ("In", "Glob", "Exists")
    ]:
        assert {(kind, op, True), (kind, op, False)} <= seen


def _parts(text: str) -> list[Expr]:
    found, todo = [], [condition.parse(text)]
    while todo:
        found.append(part := todo.pop())
        todo += part.parts if isinstance(part, (And, Or)) else [part.inner] if isinstance(part, Not) else []
    return found


@pytest.mark.parametrize("op", ["==", "<", "<=", ">", ">="])
def test_nan_compares_with_nothing(op: str) -> None:
    context = {"steps": {"s": {"x": math.nan}}}
    assert not condition.compile(f"steps.s.x {op} steps.s.x")(context)
    assert not condition.compile(f"1 {op} steps.s.x")(context)
    assert condition.compile("steps.s.x != steps.s.x")(context)


def test_tree_is_plain_data() -> None:
    size, name = Name(("file", "size")), Name(("file", "name"))
    assert condition.parse(
        'not file.size != 1 and (file.name in ["a", 1] or file.name glob "*" or file.name exists)'
    ) == And(
        (
            Not(Not(Compare("==", size, Literal(1)))),
            Or((In(name, Literal(("a", 1))), Glob(name, ("*",)), Exists(name))),
        )
    )


def test_condition_can_be_sent_to_another_process() -> None:
    made = condition.compile("file.size > 1")
    assert pickle.loads(pickle.dumps(made)) == made


def test_names_finds_every_name_and_its_column() -> None:
    found = names(
        condition.parse('file.size > steps.a.b and not (file.name glob "x" or 1 in steps.c.d or steps.e exists)')
    )
    assert [(str(name), name.column) for name in found] == [
        ("file.size", 1),
        ("steps.a.b", 13),
        ("file.name", 32),
        ("steps.c.d", 59),
        ("steps.e", 72),
    ]


WRONG = [
    ("", 1, "expected a value, found the end"),
    ("file.sise > 0", 1, "no name 'file.sise'; did you mean 'file.size'?"),
    ("file.size.x > 0", 1, "no name 'file.size.x'"),
    ("size > 0", 1, "no name 'size'; did you mean 'file.size'?"),
    ("file.customer == acme", 18, "no name 'acme'; text stands in quotes: 'acme'"),
    ("steps == 1", 1, "write steps.NAME.FACT"),
    ("customer.weight > 1", 1, "no name 'customer.weight'"),
    ("file.size >", 12, "expected a value, found the end"),
    ("file.size = 3", 11, "write '=='"),
    ("!true", 1, "write 'not'"),
    ("true && false", 6, "write 'and'"),
    ("true || false", 6, "write 'or'"),
    ("1 < file.size < 5", 15, "join two comparisons by 'and'"),
    ("(file.size) > 3", 13, "a condition cannot be compared"),
    ("(file.size > 1", 15, "expected ')', found the end"),
    ("file.size > 1)", 14, "expected 'and' or 'or', found ')'"),
    ("file.size > 1 file.size", 15, "expected 'and' or 'or', found 'file.size'"),
    ('"x"', 1, "alone says nothing"),
    ("null", 1, "alone says nothing"),
    ('file.name glob "[a"', 16, "is not closed"),
    ("file.name glob 3", 16, "'glob' takes text, or a list of texts"),
    ('file.name glob ["a", null]', 16, "'glob' takes text, or a list of texts"),
    ('file.name in "x"', 14, "expected a list"),
    ('file.name not in ["x"]', 11, "write 'not' before the whole comparison"),
    ("file.name == [1]", 14, "a list stands only after 'in' or 'glob'"),
    ("file.name in ['a',]", 19, "expected a value"),
    ("file.name in ['a' 'b']", 19, "expected ','"),
    ("file.name in [file.key]", 15, "expected a value"),
    ('"abc', 1, "the text that begins here is not closed"),
    ("3 exists", 1, "only a name"),
    ("1e999 == file.size", 1, "too large"),
    ("file.size > 01", 13, "'0' has no meaning here"),
    ("steps.a..b == 1", 8, "'.' has no meaning here"),
    ("file.size == and", 14, "expected a value, found 'and'"),
    ("(" * 33 + "true" + ")" * 33, 33, "more than 32"),
    ("not " * 33 + "true", 129, "more than 32"),
]


@pytest.mark.parametrize(("text", "column", "what"), WRONG, ids=[text[:30] for text, *_ in WRONG])
def test_a_mistake_is_shown_where_it_is(text: str, column: int, what: str) -> None:
    with pytest.raises(ValueError, match="column") as caught:
        condition.parse(text)
    first, shown, caret = str(caught.value).split("\n")
    assert first.startswith(f"column {column}: ")
    assert what in first
    assert caret.endswith("^")
    assert text[column - 1 : column] == shown[len(caret) - 1 : len(caret)]


def test_a_condition_has_a_longest_length() -> None:
    with pytest.raises(ValueError, match="at most 4,096 characters"):
        condition.parse(" " * 4092 + "false")


EARLIER = {"checksum": {"sha256": "", "md5": ""}, "custom": {}}


@pytest.mark.parametrize(
    "text", ["steps.checksum.sha256 exists", "steps.checksum exists", "steps.custom.any.thing == 1", "file.size > 1"]
)
def test_known_steps_and_facts_may_be_looked_at(text: str) -> None:
    condition.check_steps(condition.compile(text), EARLIER)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("true and steps.chekcsum.sha256 exists", "column 10: no earlier step 'chekcsum'; did you mean 'checksum'?"),
        ("steps.checksum.sha25 exists", "column 1: step 'checksum' states no 'sha25'; did you mean 'sha256'?"),
    ],
)
def test_unknown_steps_and_facts_are_told(text: str, why: str) -> None:
    with pytest.raises(ValueError, match="column") as caught:
        condition.check_steps(condition.compile(text), EARLIER)
    assert str(caught.value).startswith(why)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
texts = [case["text"] for case in CASES]


@given(st.sampled_from(texts), st.dictionaries(st.sampled_from(["file", "customer", "steps"]), values))
def test_no_context_makes_a_condition_raise(text: str, context: dict[str, Any]) -> None:
    assert condition.compile(text)(context) in (True, False)


@given(values, values)
def test_no_two_values_make_an_operator_raise(left: Any, right: Any) -> None:
    context = {"steps": {"s": {"x": left, "y": right}}}
    outcome = {
        op: condition.compile(f"steps.s.x {op} steps.s.y")(context) for op in ("==", "!=", "<", "<=", ">", ">=", "in")
    }
    assert outcome["=="] is not outcome["!="]
    assert outcome["<"] + outcome[">"] + (outcome["<="] and outcome[">="]) <= 1


words = st.sampled_from(
    [
        "file.size",
        "steps.a.b",
        "and",
        "or",
        "not",
        "in",
        "glob",
        "exists",
        "(",
        ")",
        "[",
        "]",
        ",",
        "==",
        "<",
        "1",
        '"x"',
    ]
)


@given(st.text(max_size=40) | st.lists(words, max_size=12).map(" ".join))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        made = condition.compile(text)
    except ValueError:
        return
    assert made({}) in (True, False)


PAGE = (Path(__file__).parents[3] / "docs/reference/conditions.md").read_text(encoding="utf-8")


def test_examples_of_the_page_are_conditions() -> None:
    [examples] = re.findall(r"^```\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len([condition.compile(line) for line in examples.splitlines()]) == 5


def test_every_name_is_in_the_page() -> None:
    names = (
        [f"file.{name}" for name in FILE]
        + [f"customer.{name}" for name in CUSTOMER]
        + [f"member.{name}" for name in MEMBER]
    )
    assert [name for name in names if f"| `{name}` | {_meaning(name)} |" not in PAGE] == []


def _meaning(name: str) -> str:
    root, field = name.split(".")
    return {"file": FILE, "customer": CUSTOMER, "member": MEMBER}[root][field]
