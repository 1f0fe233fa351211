"""The page on errors has each code that is in the sources and no other, and says of files in work what the engine does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

from wharfinger import errors
from wharfinger.engine.failure import Fault
from wharfinger.errors import Busy, StepError, StoreError, WharfingerError
from wharfinger.ingest import delivered
from wharfinger.ledger import inspection
from wharfinger.store import verify

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(\w+)` \| .+? \| (.+?) \| .+ \|$", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs" / "reference" / "errors.md").read_text())
CODE = re.compile(r"(?!AWS_|PROMETHEUS_|WHARF_)[A-Z][A-Z0-9_]{3,}")
MOUTHS = {"Denied", "Failure", "Problem"}
"""What is called with a code by its place among the arguments."""

NO_CODES = {"VERIFIED"}
"""In capitals, and where a code may stand."""

CLASSES = {name: each for name, each in vars(errors).items() if isinstance(each, type)}
MODULES = [ast.parse(path.read_text()) for path in (ROOT / "src").rglob("*.py")]
NODES = [node for module in MODULES for node in ast.walk(module)]


def codes() -> Iterator[str]:
    """Texts in capitals that are given as `code`, or stand in a table, an assignment or a choice; and the kinds of findings."""
    for node in NODES:
        match node:
            case ast.keyword(arg="code", value=value) | ast.Assign(value=value):
                yield from texts(value)
            case ast.Tuple(elts=found):
                yield from texts(*found)
            case ast.Dict(keys=keys, values=values):
                yield from texts(*keys)
                yield from texts(*(value for key, value in zip(keys, values) if texts(key) == ["code"]))
            case ast.IfExp(body=one, orelse=other):
                yield from texts(one, other)
            case ast.Call(func=ast.Name(id=name), args=args) if name in MOUTHS:
                yield from texts(*args)
    for finding in (verify.Problem, inspection.Finding, delivered.Finding):
        yield from (kind.upper() for kind in get_args(get_type_hints(finding)["kind"]))


def texts(*nodes: ast.AST | None) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def faults() -> Iterator[tuple[str, Fault]]:
    """What a worker may meet: the errors of steps as they are raised with codes, and each class of errors by its own."""
    for node in NODES:
        match node:
            case ast.Call(func=ast.Name(id=name), keywords=more) if issubclass(CLASSES.get(name, object), StepError):
                given = [code for each in more if each.arg == "code" for code in texts(each.value)]
                yield from ((code, Fault.of(CLASSES[name](""), "")) for code in given)
    for cls in CLASSES.values():
        if issubclass(cls, StepError | StoreError | Busy):
            yield cls.code, Fault.of(cls(""), "")


def again(fault: Fault) -> str:
    if fault.kind == "rejected":
        return "never"
    return "tries" if fault.counts else "always"


def test_every_code_is_in_the_reference_once_and_no_other() -> None:
    known = {code for code in codes() if CODE.fullmatch(code)} - NO_CODES
    assert sorted(code for code, _ in ROWS) == sorted(known)


def test_the_reference_says_which_errors_are_met_again() -> None:
    said = {code: set(words.split(", ")) for code, words in ROWS}
    assert [(code, again(fault)) for code, fault in faults() if again(fault) not in said[code]] == []
    assert set().union(*said.values()) == {"never", "tries", "always", "–"}


def test_no_class_of_errors_borrows_the_code_of_another() -> None:
    raised = [cls.code for cls in CLASSES.values() if issubclass(cls, WharfingerError)]
    assert len(set(raised)) == len(raised)
