"""
A process with a part in a backlog: `backlog_process.py LEDGER fill FIRST COUNT` lets so many files arrive, 100 at a time;
`backlog_process.py LEDGER drain` claims and settles, 64 at a time, until nothing is left, and asks besides what a worker asks in each
turn and once a second. LEDGER is a path, or the URL of a database on Postgres.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from stand.facts import BUCKET, arrivals, transferred
from wharfinger.ledger import MANY, Database, Ledger, Sign
from wharfinger.ledger.checkpoint import signer
from wharfinger.ledger.keyring import Keyring
from wharfinger.ledger.postgres import PostgresDatabase
from wharfinger.ledger.sqlite import SqliteDatabase

BATCH = 64  # as workers claim
LEASE_S = 30.0
CHECKPOINT_S = 60.0  # as in workers.checkpoint_s


def opened(ledger: str) -> Database:
    """The ledger that is named so."""
    return (PostgresDatabase if ledger.startswith("postgresql:") else SqliteDatabase)(ledger, tree=BUCKET)


def fill(ledger: Ledger, first: int, count: int) -> None:
    """Files number `first` and on."""
    for start in range(first, first + count, MANY):
        ledger.arrive(arrivals(start, min(MANY, first + count - start)))


def drain(database: Database, sign: Sign) -> int:
    """How many runs were settled here."""
    ledger, settled, due = database.ledger, 0, time.monotonic()
    while runs := ledger.claim(f"drain-{os.getpid()}", BATCH, LEASE_S):
        database.gates.paused()
        settled += sum(ledger.settle(transferred(runs)))
        ledger.obsolete_checkpoints()
        if time.monotonic() >= due:
            make_rounds(database, sign)
            due = time.monotonic() + 1
    return settled


def make_rounds(database: Database, sign: Sign) -> None:
    """What each worker asks once a second."""
    database.ledger.sweep()
    database.ledger.cancel_children()
    database.gates.wake()
    database.audit.checkpoint(sign, every_s=CHECKPOINT_S)


def main(place: str, job: str, *numbers: str) -> None:
    """Do `job` on the ledger at `place`."""
    with closing(opened(place)) as database, tempfile.TemporaryDirectory() as keys:
        if job == "fill":
            fill(database.ledger, *map(int, numbers))
        else:
            print(drain(database, signer(Keyring(Path(keys)))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
