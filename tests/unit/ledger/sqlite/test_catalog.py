from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from wharfinger.ledger import Filter, record
from wharfinger.ledger.sqlite import SqliteDatabase, catalog
from wharfinger.ledger.sqlite.connection import Connections, rows
from wharfinger.model import State, Status


@pytest.fixture
def connections(tmp_path: Path) -> Connections:
    SqliteDatabase(tmp_path / "ledger.db").close()
    return Connections(str(tmp_path / "ledger.db"), 5)


def plan(connections: Connections, sql: str, values: Sequence[object] = ()) -> list[str]:
    with connections.reading() as db:
        return [line for *_, line in rows(db, f"EXPLAIN QUERY PLAN {sql}", *values)]


@pytest.mark.parametrize("after", ["", "01JXT21Q00DF7R2M55TRJ6Y734"])
@pytest.mark.parametrize(
    ("filter", "index"),
    [
        (Filter(), "file_at"),
        (Filter(since=1.0, until=2.0), "file_at"),
        (Filter(name="*.csv"), "file_at"),
        (Filter(pipeline="inner", revision="abc"), "file_at"),
        (Filter(customer="acme"), "file_customer"),
        (Filter(customer="acme", since=1.0, until=2.0), "file_customer"),
        (Filter(customer="acme", status=Status.TRANSFERRED), "file_customer"),
        (Filter(status=Status.FAILED), "run_status"),
        (Filter(status=Status.QUEUED, customer="acme"), "run_status"),
        (Filter(status=Status.PROCESSING, since=1.0, until=2.0), "run_status"),
        (Filter(until=2.0, is_kept=True), "file_kept"),
    ],
)
def test_a_page_is_led_by_an_index_and_never_sorted(
    connections: Connections, filter: Filter, index: str, after: str
) -> None:
    sql, values = catalog.query(filter, 100, after)
    steps = plan(connections, sql, values)
    assert f"USING INDEX {index}" in steps[0]
    assert not any("TEMP B-TREE" in step for step in steps)
    assert any("run_called (file=?" in step for step in steps) == bool(filter.pipeline)
    if filter.since:
        assert "at>" in steps[0]
        assert "at<" in steps[0]


@pytest.mark.parametrize("after", ["", "01JXT21Q00DF7R2M55TRJ6Y734"])
@pytest.mark.parametrize("more", [{}, {"customer": "acme"}, {"since": 1.0, "until": 2.0}])
def test_a_page_of_child_runs_is_read_in_the_order_of_its_index(
    connections: Connections, more: dict[str, Any], after: str
) -> None:
    steps = plan(connections, *catalog.unsettled(Filter(status=Status.FAILED, **more), State.DEAD, 100, after))
    assert "run_unsettled (status=?" in steps[0]
    assert not any("TEMP B-TREE" in step for step in steps)
    if after:
        assert "(at,file,id)<" in steps[0]


def test_a_later_page_begins_where_the_one_before_ended_and_not_at_the_end_of_the_time(
    connections: Connections,
) -> None:
    sql, values = catalog.query(Filter(customer="acme", since=1.0, until=2.0), 100, "01JXT21Q00DF7R2M55TRJ6Y734")
    assert "f.at < ?" not in sql
    assert 2_000_000 not in values


def test_the_newest_version_is_found_without_a_scan(connections: Connections) -> None:
    assert not [step for step in plan(connections, record.NEWEST) if step.startswith("SCAN") and "file" in step]


def test_the_oldest_that_waits_is_the_first_row_of_an_index(connections: Connections) -> None:
    searches = [step for step in plan(connections, record.OLDEST) if " run " in step]
    assert len(searches) == 2
    assert searches[0] == "SEARCH run USING INDEX run_queued"
    assert "run_due (state=?" in searches[1]


def test_runs_that_wait_for_something_else_make_the_figures_no_dearer(connections: Connections) -> None:
    def steps() -> int:
        """Hundreds of instructions of SQLite's virtual machine that it takes to find the oldest."""
        counted = 0

        def count() -> bool:
            nonlocal counted
            counted += 1
            return False

        with connections.reading() as db:
            db.set_progress_handler(count, 100)
            found = rows(db, record.OLDEST)
            db.set_progress_handler(None)
        assert found == [(20_001, None)]
        return counted

    sql = """
    WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n <= 20000)
    INSERT INTO run(id, at, size, state, status, lane, rank)
    SELECT printf('%05d', n), n, 0, iif(n > 20000, 'ready', 'waiting'), iif(n % 2, 'uploaded', 'queued'), 0, 0 FROM n
    """
    with connections.writing() as db:
        db.execute(sql)
    assert steps() <= 1
