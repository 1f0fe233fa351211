"""
What a process that runs for long says on stderr, one record a line: as text for people, or as JSON for whoever collects it. Where
in the code something went wrong only WHARF_DEBUG shows.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from wharfinger.cli.problem import problem
from wharfinger.cli.words import plain, stamp
from wharfinger.engine.lifeline import OWNER
from wharfinger.telemetry.facts import facts_of

if TYPE_CHECKING:
    from wharfinger.config.settings import Log

OURS = "wharfinger"
"""Our own records obey `log.level`; of the libraries' only warnings are told, since what they say below is not ours to vouch for."""


class Line(logging.Formatter):
    """A record as text: of its exception the code, the words and the fix, of its facts the names and values."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging."""
        said = record.getMessage()
        if record.exc_info and record.exc_info[1]:
            told = problem(record.exc_info[1])
            said = f"{said}: {told.code}: {told.message}; {told.fix}"
        return plain(" ".join([said, *(f"{name}={value}" for name, value in facts_of(record).items())]))


class Json(logging.Formatter):
    """A record as one JSON object."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process  # "worker-1"

    def format(self, record: logging.LogRecord) -> str:
        """See logging."""
        line: dict[str, Any] = {
            "at": stamp(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **facts_of(record),
            "process": self._process,
            "pid": record.process,
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[1]:
            line |= _exception(record.exc_info[1])
        return json.dumps(line, default=str)


@contextmanager
def running(log: Log, process: str) -> Iterator[None]:
    """Around all that a process does. Where machines read, what ends it is a record too."""
    configure(log, process)
    try:
        yield
    except Exception as error:
        if log.format == "text":
            raise
        logging.getLogger(OURS).critical("ended", exc_info=error)
        raise click.exceptions.Exit(problem(error).exit) from error


def configure(log: Log, process: str) -> None:
    """Say what is said from now on as `log` has it; under a supervisor its own name for the process counts."""
    name = os.environ.get(OWNER, "").rpartition("-")[0] or process
    handler = logging.StreamHandler()
    handler.setFormatter(Json(name) if log.format == "json" else Line())
    if os.environ.get("WHARF_DEBUG") and log.format == "text":
        handler.setFormatter(logging.Formatter())
    logging.getLogger().addHandler(handler)
    logging.getLogger(OURS).setLevel(log.level.upper())


def _exception(error: BaseException) -> Mapping[str, Any]:
    told = problem(error)
    found = {"code": told.code, "error": told.message, "fix": told.fix}
    if os.environ.get("WHARF_DEBUG"):
        found["trace"] = "".join(traceback.format_exception(error))
    return found
