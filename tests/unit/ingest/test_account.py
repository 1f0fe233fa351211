"""The last account of each source outlives the process that made it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from wharfinger.ingest.account import Account, Problem, accounts, forget, record
from wharfinger.ingest.kept import SHOWN

GOOD = Account("scans", 1.5, listed=3, in_custody=3, landed=1, waiting=0, unaccounted=0)
PROBLEM = Problem("a.csv", "LATE", "'a.csv' is late", "ask")


def test_an_account_is_read_as_it_was_recorded(tmp_path: Path) -> None:
    bad = replace(GOOD, source="letters", unaccounted=1, problems=(PROBLEM,), error="no")
    for each in (GOOD, bad):
        record(tmp_path, each)
    assert accounts(tmp_path) == [bad, GOOD]


def test_a_later_account_replaces_the_one_before(tmp_path: Path) -> None:
    record(tmp_path, GOOD)
    record(tmp_path, replace(GOOD, listed=4))
    assert [each.listed for each in accounts(tmp_path)] == [4]


def test_only_so_many_problems_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    record(tmp_path, replace(GOOD, unaccounted=1000, problems=(PROBLEM,) * 1000))
    (found,) = accounts(tmp_path)
    assert (len(found.problems), found.unaccounted) == (SHOWN, 1000)


def test_what_is_damaged_counts_as_none(tmp_path: Path) -> None:
    record(tmp_path, GOOD)
    (tmp_path / "run/sources/scans.json").write_text("{")
    (tmp_path / "run/sources/older.json").write_text('{"source": "older"}')
    assert accounts(tmp_path) == []


def test_sources_that_the_configuration_has_no_more_are_forgotten(tmp_path: Path) -> None:
    record(tmp_path, GOOD)
    record(tmp_path, replace(GOOD, source="old"))
    forget(tmp_path, but={"scans"})
    assert [each.source for each in accounts(tmp_path)] == ["scans"]


def test_where_there_is_no_source_there_is_no_account(tmp_path: Path) -> None:
    assert accounts(tmp_path) == []


def test_a_look_is_old_when_the_next_ought_to_have_followed_long_ago() -> None:
    assert [GOOD.is_old(age, 10.0) for age in (0.0, 100.0, 100.1)] == [False, False, True]
    slow = replace(GOOD, rest=600.0)  # of a large folder: it is left alone for ten minutes
    assert [slow.is_old(age, 10.0) for age in (1300.0, 1300.1)] == [False, True]
