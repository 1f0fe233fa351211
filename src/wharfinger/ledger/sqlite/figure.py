"""Sums kept beside the rows they count."""

from __future__ import annotations

import apsw

from wharfinger.ledger.figure import Tally
from wharfinger.ledger.sqlite.connection import insert, rows


def write(tx: apsw.Connection, tally: Tally) -> None:
    """Add what a transaction changes to the sums."""
    conflict = "ON CONFLICT DO UPDATE SET value = value + excluded.value"
    insert(tx, "figure(name, value)", tally.changes(), conflict=conflict)


def read(db: apsw.Connection) -> dict[str, int]:
    """The sums by name (see Tally)."""
    return dict(rows(db, "SELECT name, value FROM figure"))
