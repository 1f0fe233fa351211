"""Reads a condition: its text becomes a tree, or an error that points at the place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from wharfinger.config import glob
from wharfinger.config.expression import (
    And,
    Compare,
    Exists,
    Expr,
    Glob,
    In,
    Literal,
    Name,
    Not,
    Operand,
    Or,
    Scalar,
)
from wharfinger.config.words import nearest

LONGEST = 4096
"""Most characters of a condition."""

DEEPEST = 32
"""Most parentheses and `not` inside one another."""

FILE: Mapping[str, str] = {
    "key": "the whole key, the customer's home in front: `acme/inbound/a.csv`",
    "name": "the last part of the key: `a.csv`",
    "folder": "the key without the name: `acme/inbound`",
    "size": "bytes",
    "media_type": "found by content",
    "customer": "who owns it, as `customer.name`",
    "user": "who sent it",
    "source": "how it came, such as `sftp`",
    "sha256": "in hex",
    "version": "of the object in the store",
    "at": "when it had arrived; epoch s, UTC",
}
"""What `file.` offers."""

CUSTOMER: Mapping[str, str] = {"name": "as in the configuration"}
"""What `customer.` offers."""

MEMBER: Mapping[str, str] = {
    "path": "its path in the archive: `2026/orders.csv`",
    "name": "the name as it was handed to this pipeline: `orders.csv`",
    "size": "bytes, as it was handed to this pipeline",
    "media_type": "found by content",
}
"""What `member.` offers, where the run is that of a member of an archive."""


def fail(text: str, column: int, what: str) -> NoReturn:
    """Raise ValueError with the place (columns count from 1) and a caret under it."""
    start = max(0, min(column - 40, len(text) - 60))
    shown = "".join(c if c.isprintable() else " " for c in text[start : start + 80])
    raise ValueError(f"column {column}: {what}\n{shown}\n{' ' * (column - 1 - start)}^")


_TOKEN = re.compile(
    r"""
      (?P<space> \s+ )
    | (?P<text> "(?:[^"\\]|\\.)*+" | '(?:[^'\\]|\\.)*+' )
    | (?P<number> -?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.]) )
    | (?P<word> [^\W\d][\w-]*(?:\.[\w-]+)* )
    | (?P<sign> == | != | <= | >= | [<>()\[\],] )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_CONSTANTS: Mapping[str, Scalar] = {"true": True, "false": False, "null": None}
_KEYWORDS = ("and", "or", "not", "in", "glob", "exists")
_HINTS = {
    "=": "write '==' for equality",
    "!": "write 'not' for negation",
    "&": "write 'and'",
    "|": "write 'or'",
    '"': "the text that begins here is not closed",
    "'": "the text that begins here is not closed",
}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # text, number, word, sign or end
    text: str
    column: int


class Parser:
    """Recursive descent, one method for each rule. Everything raises ValueError with the column and a caret."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise ValueError(f"a condition has at most {LONGEST:,} characters, and this one {len(text):,}")
        self._text = text
        self._tokens = self._split()
        self._next = 0
        self._depth = 0

    def whole(self) -> Expr:
        """The tree of the whole text."""
        found = self._or()
        token = self._peek()
        if token.kind != "end":
            self._stop(token, self._left_over(token))
        return found

    def _or(self) -> Expr:
        parts = [self._and()]
        while self._accept("or"):
            parts.append(self._and())
        return Or(tuple(parts)) if len(parts) > 1 else parts[0]

    def _and(self) -> Expr:
        parts = [self._not()]
        while self._accept("and"):
            parts.append(self._not())
        return And(tuple(parts)) if len(parts) > 1 else parts[0]

    def _not(self) -> Expr:
        token = self._peek()
        if not self._accept("not") and not self._accept("("):
            return self._test()
        self._depth += 1
        if self._depth > DEEPEST:
            self._stop(token, f"more than {DEEPEST} parentheses and 'not' inside one another")
        inner = Not(self._not()) if token.text == "not" else self._or()
        self._depth -= 1
        if token.text == "(":
            self._expect(")")
        return inner

    def _test(self) -> Expr:
        start = self._peek()
        left = self._operand()
        token = self._peek()
        if token.kind == "sign" and token.text in _COMPARISONS:
            self._take()
            right = self._operand()
            return Not(Compare("==", left, right)) if token.text == "!=" else Compare(token.text, left, right)
        if self._accept("in"):
            return In(left, self._list() if self._peek().text == "[" else self._name("a list"))
        if self._accept("glob"):
            return Glob(left, self._patterns())
        if self._accept("exists"):
            return Exists(left) if isinstance(left, Name) else self._stop(start, "only a name can be asked to exist")
        if isinstance(left, Literal) and not isinstance(left.content, bool):
            self._stop(start, f"{start.text} alone says nothing; compare it with something")
        return Compare("==", left, Literal(True))

    def _operand(self) -> Operand:
        token = self._peek()
        if token.kind == "word" and token.text not in _CONSTANTS:
            return self._name("a value")
        return Literal(self._scalar())

    def _scalar(self) -> Scalar:
        token = self._take()
        if token.kind == "text":
            return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
        if token.kind == "number":
            return self._number(token)
        if token.kind == "word" and token.text in _CONSTANTS:
            return _CONSTANTS[token.text]
        return self._stop(token, "a list stands only after 'in' or 'glob'" if token.text == "[" else "expected a value")

    def _number(self, token: _Token) -> int | float:
        number = int(token.text) if token.text.lstrip("-").isdecimal() else float(token.text)
        return number if math.isfinite(number) else self._stop(token, "the number is too large")

    def _list(self) -> Literal:
        self._expect("[")
        items: list[Scalar] = []
        while not self._accept("]"):
            if items:
                self._expect(",")
            items.append(self._scalar())
        return Literal(tuple(items))

    def _patterns(self) -> tuple[str, ...]:
        start = self._peek()
        found = self._list().content if start.text == "[" else (self._scalar(),)
        patterns = tuple(p for p in found if isinstance(p, str)) if isinstance(found, tuple) else ()
        if found != patterns:
            self._stop(start, "'glob' takes text, or a list of texts")
        try:
            glob.compile(patterns)
        except ValueError as exc:
            self._stop(start, str(exc))
        return patterns

    def _name(self, wanted: str) -> Name:
        token = self._take()
        if token.kind != "word" or token.text in _KEYWORDS or token.text in _CONSTANTS:
            self._stop(token, f"expected {wanted}")
        name = Name(tuple(token.text.split(".")), token.column)
        if not _is_known(name.path):
            self._stop(token, f"no name '{name}'{_suggestion(name)}")
        return name

    def _left_over(self, token: _Token) -> str:
        if token.text in _COMPARISONS:
            return "a condition cannot be compared; join two comparisons by 'and'"
        return "expected 'and' or 'or'" + ("; write 'not' before the whole comparison" if token.text == "not" else "")

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._peek()
        self._next += token.kind != "end"
        return token

    def _accept(self, word: str) -> bool:
        token = self._peek()
        found = token.kind in ("word", "sign") and token.text == word
        self._next += found
        return found

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            self._stop(self._peek(), f"expected '{sign}'")

    def _stop(self, token: _Token, what: str) -> NoReturn:
        fail(self._text, token.column, f"{what}, found {_shown(token)}" if what.startswith("expected") else what)

    def _split(self) -> list[_Token]:
        tokens, at = [], 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                sign = self._text[at]
                fail(self._text, at + 1, _HINTS.get(sign, f"{sign!r} has no meaning here"))
            if match.lastgroup != "space":
                tokens.append(_Token(str(match.lastgroup), match[0], at + 1))
            at = match.end()
        return [*tokens, _Token("end", "", len(self._text) + 1)]


def _is_known(path: tuple[str, ...]) -> bool:
    match path:
        case ("file", field):
            return field in FILE
        case ("customer", field):
            return field in CUSTOMER
        case ("member", field):
            return field in MEMBER
        case ("steps", _, *_):
            return True
    return False


def _suggestion(name: Name) -> str:
    if name.path[0] == "steps":
        return "; write steps.NAME.FACT"
    known = [
        *(f"file.{field}" for field in FILE),
        *(f"customer.{field}" for field in CUSTOMER),
        *(f"member.{field}" for field in MEMBER),
    ]
    if len(name.path) == 1:
        exact = [each for each in known if each.endswith(f".{name}")]
        return f"; did you mean '{exact[0]}'?" if exact else f"; text stands in quotes: '{name}'"
    return nearest(str(name), known)


def _shown(token: _Token) -> str:
    return "the end" if token.kind == "end" else f"'{token.text[:40]}'"
