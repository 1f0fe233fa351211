"""Warnings that strangers cause: told one by one, a flood of them by its count. Who knocks a thousand times a second fills no disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from wharfinger.telemetry.facts import facts

MOST = 60
"""So many are told one by one within WINDOW_S."""

WINDOW_S = 60.0


class Throttle:
    """Warnings of one kind in `log`: `words` for each, `more` for those that were only counted. `clock` gives seconds."""

    def __init__(self, log: logging.Logger, words: str, more: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._words, self._more, self._clock = log, words, more, clock
        self._until = 0.0  # when the window ends
        self._told = self._untold = 0  # in this window

    def warn(self, told: Mapping[str, Any]) -> None:
        """One more, with its facts (`facts(...)`)."""
        self.look()
        if self._told >= MOST:
            self._untold += 1
            return
        self._told += 1
        self._log.warning(self._words, extra=told)

    def look(self) -> None:
        """Begin a new window where one is over, and tell how many were passed over in it."""
        if self._clock() >= self._until:
            self.close()
            self._until, self._told = self._clock() + WINDOW_S, 0

    def close(self) -> None:
        """Tell what is not told yet."""
        if self._untold:
            self._log.warning(self._more, extra=facts(count=self._untold))
            self._untold = 0
