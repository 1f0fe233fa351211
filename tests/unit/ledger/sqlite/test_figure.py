from __future__ import annotations

from pathlib import Path

from rig.databases import a_child, arrived, failed, lease, parent_of, quarantined, retried, transferred, unrouted
from wharfinger.ledger import Filter
from wharfinger.ledger.figure import places
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.ledger.sqlite.connection import Connections, rows
from wharfinger.ledger.sqlite.figure import read
from wharfinger.model import Status


def test_the_sums_are_those_of_the_rows(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "ledger.db")
    ledger = database.ledger
    arrived(ledger, 40)
    for settle in (transferred, failed, quarantined, unrouted):
        ledger.settle([settle(run) for run in ledger.claim("worker", 5, 30)])
    ledger.settle([retried(run, 0.0) for run in ledger.claim("worker", 5, 30)])
    ledger.release([lease(run) for run in ledger.claim("worker", 3, 30)])
    ledger.claim("dead", 4, 30)
    ledger.sweep(owner="dead")
    ledger.replay([found.file_id for found in database.catalog.files(Filter(status=Status.FAILED))])
    parent_of(ledger, *(a_child(str(n)) for n in range(3)))
    ledger.settle([failed(run) for run in ledger.claim("worker", 100, 30) if run.child])
    with Connections(str(tmp_path / "ledger.db"), 5).reading() as db:
        sums = read(db)
        counted = "SELECT state, status, count(*) FROM run WHERE parent IS {} NULL GROUP BY state, status"
        for are_children, which in ((False, ""), (True, "NOT")):
            found = {(state, status): n for state, status, n in rows(db, counted.format(which))}
            assert {place: n for place, n in places(sums, are_children=are_children).items() if n} == found != {}
        assert (sums["bytes"],) == rows(db, "SELECT sum(size) FROM file")[0]
    database.close()
