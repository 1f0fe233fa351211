"""What a step may deliver to: it says what is to appear where, and the engine brings it about for a whole group of runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wharfinger.engine.input import Content, Input, made
from wharfinger.errors import StepError
from wharfinger.steps import Reader
from wharfinger.store import Target


class Recorder:
    """A steps.Destination that passes each order on: (content, key)."""

    __slots__ = ("_order", "_room", "_target")

    def __init__(self, target: Target, room: str, order: Callable[[Content, str], None]) -> None:
        self._target = target
        self._room = room
        self._order = order

    def put(self, path: Path, key: str) -> None:
        """See steps.Destination. Raises StepError where `path` is no plain file of the step's own."""
        self._order(made(self._room, path), key)

    def copy(self, source: Reader, key: str) -> None:
        """See steps.Destination."""
        if not isinstance(source, Input):
            raise StepError("the step copies something that is none of its inputs", code="STEP_ERROR")
        self._order(source.content, key)

    def head(self, key: str) -> int | None:
        """See steps.Destination."""
        return self._target.head(key)
