from __future__ import annotations

from pathlib import Path

import pytest

from wharfinger.ledger.sqlite import SqliteDatabase, lease, recover, run
from wharfinger.ledger.sqlite.connection import Connections, rows

LOST = "WHERE state = 'leased' AND due < ? ORDER BY due LIMIT 100"


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        (lease._HEADS, (1,)),
        (lease._HEAD_OF_LANE, (0, 1, 1)),
        (lease._PROMOTE, (1,)),
        (lease._IS_DUE, (1,)),
        (f"{run._FIND} {run.NAMED}", ("[]",)),
        (f"{run._FIND} {LOST}", (1,)),
        (recover._TAKE_BACK, ("ready", "queued", 0, None, "R")),
        (recover._OBSOLETE, ("R",)),
    ],
)
def test_no_statement_of_the_queue_reads_rows_that_are_done_or_not_due(
    tmp_path: Path, sql: str, values: tuple[object, ...]
) -> None:
    SqliteDatabase(tmp_path / "ledger.db").close()
    with Connections(str(tmp_path / "ledger.db"), 5).reading() as db:
        steps = [line for *_, line in rows(db, f"EXPLAIN QUERY PLAN {sql}", *values)]
    assert not [
        step for step in steps if step.startswith("SCAN") and "subquery" not in step and "json_each" not in step
    ]
    assert not any("TEMP B-TREE" in step for step in steps)
