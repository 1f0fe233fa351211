"""Words in braces: `{folder}/{name}`. `{{` and `}}` stand for braces."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def parts(text: str, variable: Callable[[str, str | None], T]) -> Iterator[str | T]:
    """
    The text between the words, and what `variable` makes of each word and of the format behind its colon (None where it has none).
    Raises ValueError with the mistake.
    """
    end = 0
    for token in _TOKEN.finditer(text):
        if token.start() > end:
            yield text[end : token.start()]
        end = token.end()
        yield token[0][0] if token[0] in ("{{", "}}") else _word(text, token, variable)
    if end < len(text):
        yield text[end:]


def _word(text: str, token: re.Match[str], variable: Callable[[str, str | None], T]) -> T:
    if token[1] is None:
        raise ValueError(
            f"'{text}' has a lone '{token[0]}' at character {token.start() + 1}; write '{token[0] * 2}' for a brace"
        )
    name, colon, style = token[1].partition(":")
    return variable(name, style if colon else None)
