from __future__ import annotations

from pathlib import Path

from rig.databases import START, a_call, a_child, arrived, claimed, failed
from rig.databases import waiting as waits
from wharfinger.cli import reason
from wharfinger.ledger import MANY
from wharfinger.ledger.sqlite import SqliteDatabase


def test_the_child_that_holds_a_file_up_is_its_own_however_many_others_of_its_instant_have(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "ledger.db")
    ledger = database.ledger
    arrived(ledger, 8, at=START)
    parents = [claimed(ledger) for _ in range(8)]
    for n, parent in enumerate(parents):
        many = 3 * MANY if n == 0 else 2
        for start in range(0, many, MANY):
            called = [a_child(str(each)) for each in range(start, min(start + MANY, many))]
            ledger.spawn([a_call(parent, *called)])
        ledger.settle([waits(parent)])
    while runs := ledger.claim("worker", MANY, 30):
        ledger.settle([failed(run) for run in runs if run.child and run.child.member != "0"])
    for parent in parents:
        record = database.catalog.file(parent.id)
        assert record
        worst = reason._worst(database.catalog, record)
        assert worst
        assert worst.file_id == parent.id
    database.close()
