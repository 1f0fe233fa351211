"""
The language of `when:`: a condition over a file, its customer and the results of earlier steps.

    file.size > 0 and (file.name glob "*.csv" or not steps.decompress.format == "none")

It is total: every condition holds or does not hold for every context, no evaluation raises, and its time is bounded by the
length of the condition and of the lists it looks into. `parse` gives the tree that other renderers start from. The table
`tests/unit/config/conditions.json` says what each of them has to satisfy. The rules:

* Values are JSON: null, boolean, number, text, list, object. A name that leads nowhere is missing.
* `==` holds for two values of one kind that are equal. Numbers compare by value (1 is 1.0), text by its form NFC. Lists and
  objects equal nothing, nor does anything missing, nor NaN. `a != b` is `not a == b`.
* `<`, `<=`, `>`, `>=` hold between two numbers, or two texts (by code points); otherwise never.
* `a in b` holds if an element of the list `b` equals `a`; `a glob "p"` if `a` is text that the glob takes.
* `a exists` holds if `a` is not missing; null exists. A name by itself means `name == true`.
* `not` binds closest, then `and`, then `or`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from wharfinger.config.expression import Context, Expr, names
from wharfinger.config.grammar import Parser, fail
from wharfinger.config.words import nearest


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that can be asked: `condition(context)` never raises."""

    text: str
    expr: Expr

    def __call__(self, context: Context) -> bool:
        """Whether it holds."""
        return self.expr.holds(context)


def compile(text: str) -> Condition:
    """The condition that `text` says. Raises ValueError with the column and a caret."""
    return Condition(text, parse(text))


def parse(text: str) -> Expr:
    """The tree of a condition. Raises ValueError with the column and a caret."""
    return Parser(text).whole()


def checked(text: str) -> str:
    """The text itself, if it is a condition. Raises ValueError."""
    parse(text)
    return text


def check_steps(condition: Condition, steps: Mapping[str, Collection[str]]) -> None:
    """
    Raises ValueError if the condition looks at a step that has not run before it, or at a fact that the step does not state.
    `steps` holds the earlier steps, each with its facts; where they are not known there are none.
    """
    for name in names(condition.expr):
        root, *path = name.path
        if root != "steps":
            continue
        if path[0] not in steps:
            fail(condition.text, name.column, f"no earlier step '{path[0]}'{nearest(path[0], steps)}")
        facts = steps[path[0]]
        if path[1:] and facts and path[1] not in facts:
            fail(condition.text, name.column, f"step '{path[0]}' states no '{path[1]}'{nearest(path[1], facts)}")


def refuse_members(condition: Condition) -> None:
    """Raises ValueError if the condition looks at `member`: a route is asked before any archive is opened."""
    for name in names(condition.expr):
        if name.path[0] == "member":
            fail(
                condition.text,
                name.column,
                "a route knows no member; write it in `when` of a step that a member is handed to",
            )


ALWAYS = compile("true")
"""Holds whatever the context."""
