"""YAML and JSON become values with places; what neither can mean is refused where it stands."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.config import document, rfc8259, yaml12
from wharfinger.config.mistake import Mistakes
from wharfinger.config.node import Node
from wharfinger.errors import ConfigError


def parse(text: str) -> Node:
    mistakes = Mistakes(Path("wharf.yaml"))
    node = document.parse(text, "wharf.yaml", mistakes)
    mistakes.check()
    return node


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """PyYAML with and without its C library: both have to be read alike."""
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(yaml12, "_LOADER", getattr(yaml, request.param))
    return str(request.param)


MEANS: list[tuple[str, Any]] = [
    ("", None),
    ("# nothing\n", None),
    ("---\n", None),
    ("a: 1", {"a": 1}),
    ("\ufeffa: 1", {"a": 1}),
    ("%YAML 1.2\n---\na: NO", {"a": "NO"}),
    ("a: NO\nb: 22:22\nc:\n", {"a": "NO", "b": "22:22", "c": None}),
    ("a: 'NO'\nb: \"1\"\nc: ! 1\nd: !!str 1\ne: !!int '1'", {"a": "NO", "b": "1", "c": "1", "d": "1", "e": 1}),
    ("22: a\nNO: b\n~: c\n'<<': d", {"22": "a", "NO": "b", "~": "c", "<<": "d"}),
    ("a: [1, [2, {b: 3}]]", {"a": [1, [2, {"b": 3}]]}),
    ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
    ("&k a: 1\nb: *k", {"a": 1, "b": "a"}),
    ("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}),
    ("a: |\n  x\n  y\nb: >\n  x\n  y\n", {"a": "x\ny\n", "b": "x y\n"}),
    ("a: !!seq [!!map {b: 1}]", {"a": [{"b": 1}]}),
    (
        '{"a":\t[1,2.5,-0,true,false,null,"x"],\r\n\t"b":{},"c":[]}',
        {"a": [1, 2.5, 0, True, False, None, "x"], "b": {}, "c": []},
    ),
    ('{"a":"\\ud83d\\ude00\\/\\n\\u00e9"}', {"a": "😀/\né"}),
    (' \n{"a": 1e2}\n', {"a": 100.0}),
    ('{"no": "NO", "n": "1"}', {"no": "NO", "n": "1"}),
]


@pytest.mark.parametrize(("text", "value"), MEANS)
def test_document_means(text: str, value: Any) -> None:
    assert parse(text).plain() == value


REFUSED = [
    ("a: 1\na: 2", "wharf.yaml:2:1: 'a' stands here for the second time; first in line 1"),
    ("1: a\n'1': b", "wharf.yaml:2:1: '1' stands here for the second time"),
    ("a: !secret x", "wharf.yaml:1:4: unknown tag '!secret'"),
    ("a: !!python/object:os.system {}", "wharf.yaml:1:4: unknown tag 'tag:yaml.org,2002:python/object:os.sy"),
    ("a: !!set {b}", "wharf.yaml:1:4: unknown tag 'tag:yaml.org,2002:set'"),
    ("a: !!map x", "wharf.yaml:1:4: unknown tag"),
    ("a: !!int x", "wharf.yaml:1:4: 'x' is no int"),
    ("!!int 1: x", "wharf.yaml:1:1: a key has no tag"),
    ("b: {<<: {a: 1}}", "wharf.yaml:1:5: YAML 1.2 has no merge keys"),
    ("? [a]\n: b", "wharf.yaml:1:3: a key is text"),
    ("a: &x b\n*x : 1", "wharf.yaml:2:1: a key is text"),
    ("a: *x", "wharf.yaml:1:4: no anchor '&x' stands before this alias"),
    ("a: &x [1, *x]", "wharf.yaml:1:11: '*x' stands inside of what it repeats"),
    ("a: &x {b: *x}", "wharf.yaml:1:11: '*x' stands inside of what it repeats"),
    ("a: 1\n---\nb: 2", "wharf.yaml:2:1: a second document begins here"),
    ("a: " + "9" * 65, "wharf.yaml:1:4: a number has at most 64 characters"),
    ("a: [1", "wharf.yaml:"),
    ("a: b: c", "wharf.yaml:1:5: this is no YAML: mapping values are not allowed"),
    ("a:\n\t- b", "wharf.yaml:2:1: this is no YAML"),
    ("é: ü: x", "wharf.yaml:1:5: this is no YAML"),
    ("a: 1\nb: \x00", "wharf.yaml:2:4: this is no YAML"),
    ('"\\ud800": a', "wharf.yaml:1:"),
    ("a:\n b: \ud800", "wharf.yaml:2:5: half a surrogate pair stands here"),
    ('a: "\\ud800"', "wharf.yaml:1:"),
    ("a: 1\n" + " " * document.LARGEST, "wharf.yaml:1:1: a configuration has at most 1,048,576 characters"),
    ('{"a":1,\n "a":2}', "wharf.yaml:2:2: 'a' stands here for the second time"),
    (
        "{a: 1}",
        'wharf.yaml:1:2: this is no JSON: expected a key in "quotes", since a document that begins with { is JSON',
    ),
    ('{"a" 1}', "wharf.yaml:1:6: this is no JSON: expected ':'; found '1'"),
    ('{"a":1,}', "wharf.yaml:1:8: this is no JSON: expected a key"),
    ('{"a":[1,]}', "wharf.yaml:1:9: this is no JSON: expected a value; found ']'"),
    ('{"a":[1 2]}', "wharf.yaml:1:9: this is no JSON: expected ',' or ']'; found '2'"),
    ('{"a":1 "b":2}', "wharf.yaml:1:8: this is no JSON: expected ',' or '}'; found '\"b\"'"),
    ('{"a":1} x', "wharf.yaml:1:9: this is no JSON: the document has ended before this; found 'x'"),
    ('{"a":', "wharf.yaml:1:6: this is no JSON: expected a value; found the end"),
    ('{"a":01}', "wharf.yaml:1:6: this is no JSON: expected a value"),
    ('{"a":NaN}', "wharf.yaml:1:6: this is no JSON: expected a value"),
    ('{"a":+1}', "wharf.yaml:1:6: this is no JSON: expected a value"),
    ('{"a":"\t"}', "wharf.yaml:1:6: this is no JSON: expected a value"),
    ('{"a":"\\x41"}', "wharf.yaml:1:6: this is no JSON: expected a value"),
    ('{"a":"\\ud800"}', "wharf.yaml:1:6: half a surrogate pair stands here"),
    ('{"a":"\\ude00\\ud83d"}', "wharf.yaml:1:6: half a surrogate pair stands here"),
    ('{"a":' + "9" * 65 + "}", "wharf.yaml:1:6: a number has at most 64 characters"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED, ids=[text[:24] for text, _ in REFUSED])
def test_document_is_refused_where_it_is_wrong(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value).startswith(why)


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("a: !x 1\nb: 1\nb: 2\nc: !!int z\n")
    assert [line.split(": ")[0] for line in str(caught.value).split("\n")] == [
        "wharf.yaml:1:4",
        "wharf.yaml:3:1",
        "wharf.yaml:4:4",
    ]


@pytest.mark.parametrize("text", ["a:\n  - {b: é}\n  - [1,  22]", '{"a":\n  [{"b":  "é"}\n  , [1,  22]]}'])
def test_every_value_and_key_knows_its_place(text: str) -> None:
    root, lines = parse(text), text.split("\n")
    for path in [("a", 0, "b"), ("a", 1, 0), ("a", 1, 1)]:
        node = root.find(path)
        assert node is not None
        written = str(node.value) if text[0] != "{" or isinstance(node.value, int) else f'"{node.value}"'
        assert lines[node.at.line - 1][node.at.column - 1 :].startswith(written)
        if node.key_at:
            assert lines[node.key_at.line - 1][node.key_at.column - 1 :].strip('"').startswith(str(path[-1]))


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")])
def test_nesting_is_bounded(opening: str, closing: str) -> None:
    fits = yaml12.DEEPEST - 1
    assert parse("a: " + opening * fits + "1" + closing * fits)
    with pytest.raises(ConfigError, match="more than 64 lists and mappings"):
        parse("a: " + opening * (fits + 1) + "1" + closing * (fits + 1))


def test_nesting_of_json_is_bounded() -> None:
    assert parse('{"a":' * rfc8259.DEEPEST + "1" + "}" * rfc8259.DEEPEST)
    with pytest.raises(ConfigError, match="more than 64 lists and objects"):
        parse('{"a":' * (rfc8259.DEEPEST + 1) + "1" + "}" * (rfc8259.DEEPEST + 1))
    with pytest.raises(ConfigError, match="more than 64 lists and objects"):
        parse('{"a":' + "[" * 500_000)


def test_nesting_through_aliases_is_bounded() -> None:
    links = "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 63))
    assert parse(f"a0: &a0 []\n{links}")
    with pytest.raises(ConfigError, match="more than 64 lists and mappings"):
        parse(f"a0: &a0 []\n{links}\nend: [*a62]")


def test_aliases_are_bounded() -> None:
    laughs = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    laughs += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20))
    with pytest.raises(ConfigError, match="aliases repeat more than 10,000 values"):
        parse(laughs)


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "a: &a " * 50_000, "- " * 100_000, "? " * 50_000, '{"a":' * 100_000, '"' * 100_000]
)
def test_hostile_text_ends_quickly(text: str, loader: str) -> None:
    if loader == "SafeLoader":
        text = text[:20_000]
    started = time.process_time()
    with pytest.raises(ConfigError):
        parse(text)
    assert time.process_time() - started < 2


@given(st.text(max_size=60) | st.text("{}[]:,-?&*!|>'\"%@`#~ \n\tab01\\", max_size=60))
def test_any_text_is_a_tree_or_refused(text: str) -> None:
    try:
        parse(text).plain()
    except ConfigError:
        return


numbers = st.integers(-(10**60), 10**60) | st.floats(allow_nan=False, allow_infinity=False)


def mappings(text: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    inside = st.none() | st.booleans() | numbers | text
    values = st.recursive(inside, lambda each: st.lists(each, max_size=4) | st.dictionaries(text, each, max_size=4))
    return st.dictionaries(text, values, max_size=4)


@given(mappings(st.text()), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_json_comes_back_as_it_was_written(value: Any, is_ascii: bool, indent: Any) -> None:
    assert parse(json.dumps(value, ensure_ascii=is_ascii, indent=indent)).plain() == value


@given(mappings(st.text(st.characters(max_codepoint=0xD7FF), max_size=20)))  # YAML escapes whole characters
def test_yaml_comes_back_as_it_was_written(value: Any) -> None:
    assert parse("---\n" + json.dumps(value)).plain() == value


def test_what_was_left_open_is_told_with_the_line_in_which_it_begins() -> None:
    with pytest.raises(ConfigError, match="flow mapping that begins in line 2"):
        parse("a: 1\nb: {c: 1\nd: {}\ne: f\n")
