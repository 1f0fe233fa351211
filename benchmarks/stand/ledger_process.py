"""
A process that works on a ledger and can be killed: `ledger_process.py PATH churn` arrives and claims until it is killed, telling
each turn; `ledger_process.py PATH claim` claims once and says how many it got.
"""

from __future__ import annotations

import sys
from itertools import count

from stand.facts import BUCKET, arrivals
from wharfinger.ledger import MANY
from wharfinger.ledger.sqlite import SqliteDatabase

TURNS = 1_000_000  # of churn at the most, should nobody kill it


def main(path: str, job: str) -> None:
    """Do `job` on the ledger at `path`."""
    ledger = SqliteDatabase(path, tree=BUCKET).ledger
    if job == "claim":
        print(len(ledger.claim("restarted", 64, 30.0)), flush=True)
        return
    for turn, start in zip(range(TURNS), count(1 << 32, MANY)):
        ledger.arrive(arrivals(start, MANY))
        ledger.claim(f"doomed-{turn}", 64, 0.001)
        print(turn, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
