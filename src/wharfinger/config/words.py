"""Words for people: where something stands, what was found there, and the nearest valid word."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

MOST = 8
"""A longer list of valid words is cut."""

COMPARED = 1000
"""Of more valid words than this the nearest is not sought: a comparison takes 20 µs, and there may be 50 mistakes."""

_BARE = re.compile(r"[\w-]+")


def nearest(word: str, known: Iterable[str]) -> str:
    """What to say after "no such word": the nearest valid one, else all of them; begins with a semicolon."""
    words = list(known)
    near = get_close_matches(word[:64].lower(), [each for each in words[:COMPARED] if len(each) <= 64], n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    if not words:
        return "; there is none"
    return f"; there are: {', '.join(words[:MOST])}" + (f" and {len(words) - MOST} more" if len(words) > MOST else "")


def dotted(path: Iterable[str | int]) -> str:
    """A path as people write it: `pipelines.claims.steps[2].uses`."""
    said = ""
    for part in path:
        if isinstance(part, int):
            said += f"[{part}]"
        else:
            said += ("." if said else "") + (part if _BARE.fullmatch(part) else shown(part))
    return said


def shown(text: str) -> str:
    """Text that somebody wrote, in quotes, on one line and cut."""
    cut = text if len(text) <= 40 else text[:37] + "..."
    return f"'{printable(cut)}'"


def printable(text: str) -> str:
    """The text without anything that a terminal would obey."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def found(value: Any) -> str:
    """A value that somebody wrote, with its kind."""
    if isinstance(value, str):
        return f"the text {shown(value)}"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"the number {value}"
    return ("a list" if value else "an empty list") if isinstance(value, list) else "a mapping"
