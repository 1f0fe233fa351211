"""Gives a ledger's tables another schema, so that new ones can take their place."""

from __future__ import annotations

import time

import psycopg

from wharfinger.errors import Busy
from wharfinger.ledger.postgres.connection import Connections, Transaction, first, rows

_ALONE = """
SELECT pg_advisory_unlock_shared(hashtextextended(current_schema() || '/open', 0)),
  pg_advisory_xact_lock(hashtextextended(current_schema() || '/open', 0))
"""
"""Every connection shares this lock for as long as it stands; one that was just closed may take a moment to go."""

TABLES = (
    *("migration", "file", "run", "event", "revision", "figure", "share", "name", "account"),
    *("audit_checkpoint", "audit_leaf", "audit_pending", "audit_key", "gate", "life", "purge_order"),
)
"""Those of the newest version; an older ledger has fewer."""


def move_aside(url: str) -> str:
    """
    Move the tables of the ledger at `url`, with all that is in them, to a schema of its own, and answer its name. Raises Busy while
    any other process has the ledger open.
    """
    connections = Connections(url, 10.0)

    def work(tx: Transaction) -> str:
        tx.execute("SET LOCAL lock_timeout = '1s'")
        try:
            first(tx, _ALONE)
        except psycopg.errors.LockNotAvailable as exc:
            raise Busy(
                f"{connections.name}: another process has the ledger open", fix="stop wharf serve and its workers first"
            ) from exc
        aside: str = first(tx, "SELECT current_schema() || %s", f"_{time.strftime('%Y%m%dt%H%M%S')}")[0]
        if rows(tx, "SELECT 1 FROM pg_namespace WHERE nspname = %s", aside):
            raise Busy(f"{aside} is there already", fix="try again in a second")
        tx.execute(f'CREATE SCHEMA "{aside}"')
        for table in TABLES:
            tx.execute(f'ALTER TABLE IF EXISTS {table} SET SCHEMA "{aside}"')
        return aside

    try:
        return connections.write(work)
    finally:
        connections.close()
