"""What a condition is made of, and when it holds. See `condition` for the language and its rules."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wharfinger.config import glob
from wharfinger.names import nfc

Context = Mapping[str, Any]
Scalar = str | int | float | bool | None


class _Missing:
    """Where a name leads nowhere."""


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Name:
    """A dotted path into the context. A number picks an element of a list, counted from 0."""

    path: tuple[str, ...]
    column: int = field(default=1, compare=False)  # in the condition's text, from 1

    def value(self, context: Context) -> Any:
        """What the path leads to, else MISSING."""
        found: Any = context
        for part in self.path:
            found = _step(found, part)
        return found

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written; a tuple is a list of scalars."""

    content: Scalar | tuple[Scalar, ...]

    def value(self, _context: Context) -> Any:
        """The value."""
        return self.content


Operand = Name | Literal


@dataclass(frozen=True, slots=True)
class Compare:
    """`left op right`; `op` is one of ==, <, <=, >, >=."""

    op: str
    left: Operand
    right: Operand

    def holds(self, context: Context) -> bool:
        """Whether it is so."""
        return _compare(self.op, self.left.value(context), self.right.value(context))


@dataclass(frozen=True, slots=True)
class In:
    """An element of the list `right` equals `left`."""

    left: Operand
    right: Operand

    def holds(self, context: Context) -> bool:
        """Whether it is so."""
        left, right = self.left.value(context), self.right.value(context)
        return isinstance(right, (list, tuple)) and any(_compare("==", left, each) for each in right)


@dataclass(frozen=True, slots=True)
class Glob:
    """`left` is text that one of the patterns takes."""

    left: Operand
    patterns: tuple[str, ...]

    def holds(self, context: Context) -> bool:
        """Whether it is so."""
        left = self.left.value(context)
        return isinstance(left, str) and glob.fits(self.patterns, left)


@dataclass(frozen=True, slots=True)
class Exists:
    """The name leads somewhere, if only to null."""

    name: Name

    def holds(self, context: Context) -> bool:
        """Whether it is so."""
        return self.name.value(context) is not MISSING


@dataclass(frozen=True, slots=True)
class Not:
    """The inner condition does not hold."""

    inner: Expr

    def holds(self, context: Context) -> bool:
        """Whether it is so."""
        return not self.inner.holds(context)


@dataclass(frozen=True, slots=True)
class And:
    """Every part holds."""

    parts: tuple[Expr, ...]

    def holds(self, context: Context) -> bool:
        """Whether it is so."""
        return all(part.holds(context) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part holds."""

    parts: tuple[Expr, ...]

    def holds(self, context: Context) -> bool:
        """Whether it is so."""
        return any(part.holds(context) for part in self.parts)


Expr = Compare | In | Glob | Exists | Not | And | Or


def names(expr: Expr) -> Iterator[Name]:
    """Every name that the condition looks at."""
    match expr:
        case And(parts) | Or(parts):
            for part in parts:
                yield from names(part)
        case Not(inner):
            yield from names(inner)
        case Exists(name):
            yield name
        case Compare(_, left, right) | In(left, right):
            yield from (each for each in (left, right) if isinstance(each, Name))
        case Glob(left):
            yield from (each for each in (left,) if isinstance(each, Name))


def _step(found: Any, part: str) -> Any:
    if isinstance(found, Mapping):
        return found.get(part, MISSING)
    if isinstance(found, (list, tuple)) and part.isascii() and part.isdigit() and int(part) < len(found):
        return found[int(part)]
    return MISSING


_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compare(op: str, left: Any, right: Any) -> bool:
    kind = _kind(left)
    if kind is None or kind != _kind(right):
        return False
    if kind == "text":
        left, right = nfc(left), nfc(right)
    if op == "==":
        return bool(left == right)
    return kind in ("text", "number") and _ORDER[op](left, right)


def _kind(value: Any) -> str | None:
    """The kind of a value that can be compared; None for lists, objects and what is missing."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "null" if value is None else None
