"""Sums kept beside the rows they count, in slots: each session has one that few others share."""

from __future__ import annotations

from wharfinger.ledger.figure import Place, Tally, places
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
    """Add what a transaction changes to the sums."""
    if changes := sorted(tally.changes()):
        tx.execute(_ADD, columns(changes))


def serve(tx: Transaction, rank: int) -> None:
    """Work up to this rank was claimed."""
    tx.execute(_SERVE, (rank,))


def read(db: Transaction) -> tuple[dict[Place, int], int]:
    """How many runs stand in each place, and how many bytes arrived in all."""
    sums: dict[str, int] = dict(
        rows(db, "SELECT name, sum(value)::bigint FROM figure WHERE name <> 'turn' GROUP BY name")
    )
    return places(sums), sums.get("bytes", 0)
