from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import click
import pytest

from wharfinger.cli.log import OURS, Json, Line, configure, running
from wharfinger.config.settings import Log
from wharfinger.engine.lifeline import OWNER
from wharfinger.errors import LedgerError
from wharfinger.telemetry.facts import facts


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


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger(OURS)
    handlers, level = root.handlers[:], ours.level
    yield
    root.handlers[:] = handlers
    ours.setLevel(level)


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("logging_as_before")
def test_a_record_is_one_json_object_with_its_facts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OWNER, "worker-2-0123456789abcdef")
    configure(Log(level="info", format="json"), "worker")
    logging.getLogger(f"{OURS}.engine").info("transferred", extra=facts(file_id="F1", key="a\n\udcff.csv", size=5))
    [line] = said(capsys)
    assert line.pop("at")
    assert line.pop("pid")
    assert line == {
        "level": "info",
        "message": "transferred",
        "file_id": "F1",
        "key": "a\n\udcff.csv",
        "size": 5,
        "process": "worker-2",
        "logger": "wharfinger.engine",
    }


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize(("level", "told"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_the_least_that_is_told(capsys: pytest.CaptureFixture[str], level: str, told: int) -> None:
    configure(Log(level=level, format="json"), "x")  # type: ignore[arg-type]
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger(OURS).log(number, "x")
    assert len(said(capsys)) == told


@pytest.mark.usefixtures("logging_as_before")
def test_what_libraries_say_below_a_warning_is_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Log(level="debug"), "x")
    logging.getLogger("asyncssh").info("a packet")
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("logging_as_before")
def test_what_ends_a_process_is_a_record_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(click.exceptions.Exit) as ended, running(Log(format="json"), "worker"):
        raise LedgerError("no space left", code="NO_SPACE", fix="free some")
    [line] = said(capsys)
    assert (ended.value.exit_code, line["level"], line["message"]) == (1, "critical", "ended")
    assert (line["code"], line["error"], line["fix"]) == ("NO_SPACE", "no space left", "free some")


def test_facts_follow_the_words_for_people() -> None:
    record = logging.LogRecord("wharfinger", logging.INFO, "x.py", 1, "transferred", (), None)
    record.__dict__.update(facts(file_id="F1", key="two\nlines"))
    assert Line().format(record) == r"transferred file_id=F1 key=two\nlines"


def test_what_json_cannot_hold_is_told_as_text() -> None:
    record = logging.LogRecord("wharfinger", logging.INFO, "x.py", 1, "x", (), None)
    record.__dict__.update(facts(key=b"bytes"))
    assert json.loads(Json("x").format(record))["key"] == "b'bytes'"
