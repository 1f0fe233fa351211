from __future__ import annotations

import time

import click
import pytest

from wharfinger.cli.select import Selection, moment
from wharfinger.ledger import Filter


@pytest.mark.parametrize(
    ("text", "ago"), [("90s", 90), ("30min", 1800), ("2h", 7200), ("1.5h", 5400), ("3d ago", 259_200), ("1w", 604_800)]
)
def test_a_moment_may_be_said_as_how_long_ago(text: str, ago: float) -> None:
    assert moment(text) == pytest.approx(time.time() - ago, abs=1)


def test_a_moment_may_be_a_date_and_time_with_or_without_a_zone() -> None:
    assert moment("2026-03-01T12:04:31Z") == 1_772_366_671
    assert moment("2026-03-01T13:04:31+01:00") == 1_772_366_671
    assert moment("2026-03-01") == time.mktime((2026, 3, 1, 0, 0, 0, 0, 0, -1))


@pytest.mark.parametrize("text", ["", "yesterday", "2 fortnights", "-2h", "2026-13-01"])
def test_what_is_no_moment_is_answered_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 30min, 2h, 3d"):
        moment(text)


def test_only_a_selection_without_any_filter_is_everything() -> None:
    assert Selection(Filter()).is_everything
    for narrowed in (
        Selection(Filter(customer="acme")),
        Selection(Filter(), dead=True),
        Selection(Filter(), partial=True),
    ):
        assert not narrowed.is_everything
