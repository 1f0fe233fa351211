from __future__ import annotations

import time

import pytest

from wharfinger.cli import words


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (10_500, "10.5 KB"),
        (200_000_000, "200 MB"),
        (999_999, "1.0 MB"),
        (5e18, "5000 PB"),
    ],
)
def test_sizes_are_in_units_of_a_thousand(count: int, said: str) -> None:
    assert words.size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 ms"),
        (0.00018, "0.2 ms"),
        (0.0042, "4.2 ms"),
        (0.0142, "14 ms"),
        (0.9999, "1 s"),
        (1.25, "1.2 s"),
        (90, "90 s"),
        (125, "2 min"),
        (7500, "2 h 5 min"),
        (7200, "2 h"),
        (86400 * 3 + 3600 * 4, "3 d 4 h"),
        (-1, "0 ms"),
    ],
)
def test_spans_are_said_in_the_unit_that_matters(seconds: float, said: str) -> None:
    assert words.span(seconds) == said


def test_what_a_terminal_would_obey_is_shown_as_an_escape() -> None:
    assert words.plain("a\x1b[2Jb\nc\u202egpj.exe\udcff") == r"a\x1b[2Jb\nc\u202egpj.exe\udcff"


def test_a_stamp_is_utc_with_milliseconds_and_is_read_back() -> None:
    assert words.stamp(1_772_366_671.25) == "2026-03-01T12:04:31.250Z"
    assert words.epoch("2026-03-01T12:04:31.250Z") == 1_772_366_671.25


def test_a_clock_tells_the_date_only_of_another_day() -> None:
    noon = time.mktime((2026, 3, 1, 12, 4, 31, 0, 0, -1))
    assert words.clock(noon, noon + 60) == "12:04:31"
    assert words.clock(noon, noon + 86400) == "2026-03-01 12:04:31"


def test_one_file_and_many_files() -> None:
    assert (words.many(1, "file"), words.many(12_000, "file")) == ("1 file", "12,000 files")
