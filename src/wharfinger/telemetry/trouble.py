"""Trouble that lasts: told when it begins, when it becomes another one, and when it is over; not each time it is met."""

from __future__ import annotations

import logging


class Trouble:
    """One thing that is tried again and again; `begins` and `ends` are what the log says."""

    def __init__(self, log: logging.Logger, *, begins: str, ends: str) -> None:
        self._log, self._begins, self._ends = log, begins, ends
        self._last = ""

    def tell(self, error: Exception | None) -> None:
        """How it went this time."""
        before, self._last = self._last, repr(error) if error else ""
        if error and self._last != before:
            self._log.error(self._begins, exc_info=error)
        elif before and not error:
            self._log.warning(self._ends)
