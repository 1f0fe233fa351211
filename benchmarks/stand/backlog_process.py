"""
A process with a part in a backlog: `backlog_process.py LEDGER fill FIRST COUNT` lets so many files arrive, 100 at a time;
`backlog_process.py LEDGER drain` claims and settles, 64 at a time, until nothing is left. LEDGER is a path, or the URL of a database on
Postgres.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing

from stand.facts import BUCKET, arrivals, transferred
from wharfinger.ledger import MANY, Database, Ledger
from wharfinger.ledger.postgres import PostgresDatabase
from wharfinger.ledger.sqlite import SqliteDatabase

BATCH = 64  # as workers claim
LEASE_S = 30.0


def opened(ledger: str) -> Database:
    """The ledger that is named so."""
    return (PostgresDatabase if ledger.startswith("postgresql:") else SqliteDatabase)(ledger, tree=BUCKET)


def fill(ledger: Ledger, first: int, count: int) -> None:
    """Files number `first` and on."""
    for start in range(first, first + count, MANY):
        ledger.arrive(arrivals(start, min(MANY, first + count - start)))


def drain(ledger: Ledger) -> int:
    """How many runs were settled here."""
    settled = 0
    while runs := ledger.claim(f"drain-{os.getpid()}", BATCH, LEASE_S):
        settled += sum(ledger.settle(transferred(runs)))
    return settled


def main(place: str, job: str, *numbers: str) -> None:
    """Do `job` on the ledger at `place`."""
    with closing(opened(place)) as database:
        if job == "fill":
            fill(database.ledger, *map(int, numbers))
        else:
            print(drain(database.ledger), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
