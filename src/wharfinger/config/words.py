"""Words for people: where something stands, what was found there, and the nearest valid word."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MOST = 8
"""A longer list of valid words is cut."""


def nearest(word: str, known: Iterable[str]) -> str:
    """What to say after "no such word": the nearest valid one, else all of them; begins with a semicolon."""
    words = list(known)
    near = get_close_matches(word[:64].lower(), [each for each in words if len(each) <= 64], n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    if not words:
        return "; there is none"
    return f"; there are: {', '.join(words[:MOST])}" + (f" and {len(words) - MOST} more" if len(words) > MOST else "")
