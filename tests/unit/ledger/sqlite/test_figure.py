from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from rig.databases import arrived, failed, lease, quarantined, retried, transferred, unrouted
from wharfinger.errors import LedgerError
from wharfinger.ledger import Filter
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.ledger.sqlite.connection import Connections, rows
from wharfinger.ledger.sqlite.figure import Tally, read
from wharfinger.model import MOVES, State, Status

PAIRS = [(before, after) for before, after in product(State, State) if before != after]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_only_legal_moves_are_made(before: State, after: State) -> None:
    tally = Tally()
    if after in MOVES[before]:
        tally.moved((before, Status.QUEUED), (after, Status.QUEUED))
    else:
        with pytest.raises(LedgerError, match=f"{before} cannot become {after}"):
            tally.moved((before, Status.QUEUED), (after, Status.QUEUED))


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
    with Connections(str(tmp_path / "ledger.db"), 5).reading() as db:
        places, size = read(db)
        counted = rows(db, "SELECT state, status, count(*) FROM run GROUP BY state, status")
        assert {place: n for place, n in places.items() if n} == {(state, status): n for state, status, n in counted}
        assert (size,) == rows(db, "SELECT sum(size) FROM file")[0]
    database.close()
