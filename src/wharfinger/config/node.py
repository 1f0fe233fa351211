"""A document as it was written: plain values, each of which knows where it stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

Scalar = str | int | float | bool | None
Trail = tuple[str | int, ...]
"""The way to a value: keys, and indexes of lists."""


class Mark(NamedTuple):
    """A place in a file; an environment variable is a place without lines."""

    source: str
    line: int = 0  # from 1
    column: int = 0  # from 1, in characters

    @classmethod
    def of(cls, source: str, text: str, position: int) -> Mark:
        """The place of the character at `position` of a text."""
        return cls(source, text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position))

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place. Nodes may be shared (YAML's aliases), never in a circle."""

    value: Scalar | list[Node] | dict[str, Node]
    at: Mark
    key_at: Mark | None = None  # of its key, in a mapping

    def child(self, part: str | int) -> Node | None:
        """The value under a key or index."""
        if isinstance(self.value, dict) and isinstance(part, str):
            return self.value.get(part)
        if isinstance(self.value, list) and isinstance(part, int) and part < len(self.value):
            return self.value[part]
        return None

    def find(self, path: Trail) -> Node | None:
        """The value at the end of a path."""
        found: Node | None = self
        for part in path:
            found = found and found.child(part)
        return found

    def nearest(self, path: Trail) -> Node:
        """The value at the end of a path, or the last that is there on the way."""
        found = self
        for part in path:
            found = found.child(part) or found
        return found

    def items(self) -> list[tuple[str, Node]]:
        """The entries of a mapping; of anything else none."""
        return list(self.value.items()) if isinstance(self.value, dict) else []

    def under(self, key_at: Mark) -> Node:
        """The same value under a key that stands there."""
        return replace(self, key_at=key_at)

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value
