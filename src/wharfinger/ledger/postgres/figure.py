"""Sums kept beside the rows they count, in slots: each session has one that few others share."""

from __future__ import annotations

from wharfinger.ledger.figure import Tally
from wharfinger.ledger.postgres.connection import Transaction, columns, rows

SLOTS = 64

_ADD = f"""
INSERT INTO figure(name, slot, value)
SELECT n, pg_backend_pid() %% {SLOTS}, v FROM unnest(%s::text[], %s::bigint[]) AS change(n, v)
ON CONFLICT (name, slot) DO UPDATE SET value = figure.value + excluded.value
"""

_SERVE = f"""
INSERT INTO figure(name, slot, value) VALUES ('turn', pg_backend_pid() %% {SLOTS}, %s)
ON CONFLICT (name, slot) DO UPDATE SET value = greatest(figure.value, excluded.value)
"""


def write(tx: Transaction, tally: Tally) -> None:
    """Add all that a transaction changes to the sums. No run, share or sum is locked afterwards: see rank."""
    if changes := sorted(tally.changes()):
        tx.execute(_ADD, columns(changes))


def serve(tx: Transaction, rank: int) -> None:
    """Work up to this rank was claimed."""
    tx.execute(_SERVE, (rank,))


def read(db: Transaction) -> dict[str, int]:
    """The sums by name (see Tally)."""
    return dict(rows(db, "SELECT name, sum(value)::bigint FROM figure WHERE name <> 'turn' GROUP BY name"))
