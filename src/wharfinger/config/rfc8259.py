"""JSON as RFC 8259 has it, with places; a key that stands twice is a mistake."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import NoReturn

from wharfinger.config import core
from wharfinger.config.mistake import Mistakes
from wharfinger.config.node import Mark, Node, Scalar
from wharfinger.config.words import shown

DEEPEST = 64
"""Most lists and objects inside one another."""

_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(
    r"""
      (?P<string> "(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+" )
    | (?P<number> -?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.+-]) )
    | (?P<word> (?:true|false|null)(?!\w) )
    | (?P<sign> [\[\]{},:] )
    """,
    re.VERBOSE,
)


def parse(text: str, source: str, mistakes: Mistakes) -> Node:
    """The one value in `text`. Raises ConfigError where it cannot be read on."""
    return _Reader(text, source, mistakes).whole()


class _Reader:
    """Recursive descent, one token ahead."""

    def __init__(self, text: str, source: str, mistakes: Mistakes) -> None:
        self._text = text
        self._source = source
        self._mistakes = mistakes
        self._lines = [0, *(newline.end() for newline in re.finditer("\n", text))]  # where each begins
        self._depth = 0
        self._end = 0
        self._next()

    def whole(self) -> Node:
        node = self._value()
        if self._lexeme:
            self._stop("the document has ended before this")
        return node

    def _value(self) -> Node:
        at, lexeme = self._at, self._lexeme
        if self._kind == "sign" and lexeme in "{[":
            self._depth += 1
            if self._depth > DEEPEST:
                self._stop(f"more than {DEEPEST} lists and objects inside one another")
            node = Node(self._object() if lexeme == "{" else self._list(), at)
            self._depth -= 1
            return node
        if self._kind not in ("string", "number", "word"):
            self._stop("expected a value")
        node = Node(self._scalar(), at)
        self._next()
        return node

    def _object(self) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for _ in self._elements("}"):
            at = self._at
            if self._kind != "string":
                self._stop('expected a key in "quotes", since a document that begins with { is JSON')
            key = self._string()
            if key in found:
                self._mistakes.add(at, f"{shown(key)} stands here for the second time")
            self._next()
            if self._lexeme != ":":
                self._stop("expected ':'")
            self._next()
            found[key] = self._value().under(at)
        return found

    def _list(self) -> list[Node]:
        return [self._value() for _ in self._elements("]")]

    def _elements(self, closing: str) -> Iterator[None]:
        """Once for each element, which the caller reads; brackets and commas are stepped over."""
        self._next()
        if self._lexeme != closing:
            yield
            while self._lexeme == ",":
                self._next()
                yield
            if self._lexeme != closing:
                self._stop(f"expected ',' or '{closing}'")
        self._next()

    def _string(self) -> str:
        text: str = json.loads(self._lexeme)
        if not core.is_whole(text):
            self._mistakes.stop(self._at, "half a surrogate pair stands here")
        return text

    def _scalar(self) -> Scalar:
        try:
            return self._string() if self._kind == "string" else core.resolve(self._lexeme)
        except ValueError as exc:
            self._mistakes.add(self._at, str(exc))
            return self._lexeme

    def _next(self) -> None:
        space = _SPACE.match(self._text, self._end)
        start = space.end() if space else self._end
        line = bisect_right(self._lines, start)
        self._at = Mark(self._source, line, start - self._lines[line - 1] + 1)
        token = _TOKEN.match(self._text, start)
        if token:
            self._kind, self._lexeme, self._end = str(token.lastgroup), token[0], token.end()
        else:
            self._kind, self._lexeme = "other", self._text[start : start + 1]

    def _stop(self, what: str) -> NoReturn:
        found = shown(self._lexeme) if self._lexeme else "the end"
        self._mistakes.stop(self._at, f"this is no JSON: {what}; found {found}")
