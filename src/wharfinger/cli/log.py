"""What a process that runs for long says on stderr: what went wrong, on one line. Where in the code only WHARF_DEBUG shows."""

from __future__ import annotations

import logging
import os

from wharfinger.cli.problem import problem
from wharfinger.cli.words import plain


class Line(logging.Formatter):
    """A record on one line: of its exception the code, the words and the fix."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging."""
        said = record.getMessage()
        if record.exc_info and record.exc_info[1]:
            told = problem(record.exc_info[1])
            said = f"{said}: {told.code}: {told.message}; {told.fix}"
        return plain(said)


def configure() -> None:
    """Call it once, at the start of the process."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter() if os.environ.get("WHARF_DEBUG") else Line())
    logging.basicConfig(handlers=[handler])
