"""A configuration's text becomes a tree of values that know where they stand: YAML 1.2, or JSON where it begins with `{`."""

from __future__ import annotations

from wharfinger.config import core, rfc8259, yaml12
from wharfinger.config.mistake import Mistakes
from wharfinger.config.node import Mark, Node

LARGEST = 1 << 20
"""Most characters of a document."""


def parse(text: str, source: str, mistakes: Mistakes) -> Node:
    """The tree of the one document in `text`. Raises ConfigError where it cannot be read on."""
    text = text.removeprefix("\ufeff")
    if len(text) > LARGEST:
        mistakes.stop(
            Mark(source, 1, 1), f"a configuration has at most {LARGEST:,} characters, and this one {len(text):,}"
        )
    if not core.is_whole(text):
        at = next(n for n, character in enumerate(text) if not core.is_whole(character))
        mistakes.stop(Mark.of(source, text, at), "half a surrogate pair stands here")
    parse = rfc8259.parse if text.lstrip(" \t\r\n").startswith("{") else yaml12.parse
    return parse(text, source, mistakes)
