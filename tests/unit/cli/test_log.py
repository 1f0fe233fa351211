from __future__ import annotations

import logging
import sys

import pytest

from wharfinger.cli.log import Line
from wharfinger.errors import LedgerError


def line(error: Exception | None, words: str = "it failed") -> str:
    record = logging.LogRecord("wharfinger", logging.ERROR, "x.py", 1, words, (), None)
    if error:
        try:
            raise error
        except type(error):
            record.exc_info = sys.exc_info()
    return Line().format(record)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (None, "it failed"),
        (
            LedgerError("no space left", code="NO_SPACE", fix="free some"),
            "it failed: NO_SPACE: no space left; free some",
        ),
        (ZeroDivisionError("division by zero"), "it failed: INTERNAL: this is a bug of wharf: ZeroDivisionError: "),
        (OSError(28, "x", "/data"), "it failed: NO_SPACE: /data: no space left on device; free some space"),
    ],
)
def test_an_exception_is_its_words_and_no_traceback(error: Exception | None, said: str) -> None:
    assert line(error).startswith(said)
    assert "Traceback" not in line(error)


def test_a_record_is_one_line_whatever_is_in_it() -> None:
    assert line(None, "two\nlines\x1b[2J") == r"two\nlines\x1b[2J"
