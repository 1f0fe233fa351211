"""Sums kept beside the rows they count."""

from __future__ import annotations

import apsw

from wharfinger.ledger.figure import Place, Tally, places
from wharfinger.ledger.sqlite.connection import insert, rows


def write(tx: apsw.Connection, tally: Tally) -> None:
    """Add what a transaction changes to the sums."""
    conflict = "ON CONFLICT DO UPDATE SET value = value + excluded.value"
    insert(tx, "figure(name, value)", tally.changes(), conflict=conflict)


def read(db: apsw.Connection) -> tuple[dict[Place, int], int]:
    """How many runs stand in each place, and how many bytes arrived in all."""
    sums: dict[str, int] = dict(rows(db, "SELECT name, value FROM figure"))
    return places(sums), sums.get("bytes", 0)
