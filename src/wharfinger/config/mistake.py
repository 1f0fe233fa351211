"""Everything wrong with one configuration, gathered so that it is told at once."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from wharfinger.config.node import Mark, Trail
from wharfinger.config.words import dotted, printable
from wharfinger.errors import ConfigError

MOST = 50
"""Mistakes after which the rest is not looked for."""


class Mistakes:
    """The mistakes found so far in the file `path`. What is said twice of one place is told once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, Mark] = {}

    def add(self, at: Mark, what: str, path: Trail = ()) -> None:
        """Note a mistake; more lines than one are indented. Raises ConfigError when there are too many."""
        what = "\n    ".join(printable(line) for line in what.split("\n"))
        self._found[f"{at}: {dotted(path)}: {what}" if path else f"{at}: {what}"] = at
        if len(self._found) == MOST:
            self._fail(f"\n    {at.source}: more than this was not looked for")

    def stop(self, at: Mark, what: str) -> NoReturn:
        """Note a mistake after which nothing more can be read."""
        self.add(at, what)
        self._fail()

    def check(self) -> None:
        """Raise ConfigError if there is any: one line for each, in the order of the file."""
        if self._found:
            self._fail()

    def _fail(self, ending: str = "") -> NoReturn:
        lines = sorted(self._found, key=lambda line: self._found[line])
        where = f"edit {self._path}" if any(mark.line for mark in self._found.values()) else "correct the environment"
        raise ConfigError("\n".join(lines) + ending, fix=f"{where}, then run `wharf check`")
