"""Events: written in the transaction of the fact they tell, chained file by file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from psycopg import Cursor

from wharfinger.ledger import row
from wharfinger.ledger.history import Told, data, firsts, following
from wharfinger.ledger.postgres.connection import Transaction, columns, first, rows
from wharfinger.ledger.run import Found
from wharfinger.model import Event

_INTO = """
WITH line AS (
  INSERT INTO event(file_id, n, at, kind, revision, data, hash)
  SELECT * FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::bytea[])
  RETURNING file_id, n
) INSERT INTO audit_pending SELECT file_id, n FROM line
"""
"""Every event awaits the next checkpoint."""

_HEADS = """
SELECT wanted.id, e.n, e.hash FROM unnest(%s::text[]) AS wanted(id)
CROSS JOIN LATERAL (SELECT n, hash FROM event WHERE file_id = wanted.id ORDER BY n DESC LIMIT 1) e
"""

_READ = """
SELECT event.n, at, kind, data, hash, v.pipeline, v.revision FROM event LEFT JOIN revision v ON v.n = event.revision
WHERE file_id = %s ORDER BY event.n
"""

_OWN = "SELECT id FROM run WHERE id = ANY(%s::text[]) ORDER BY id FOR NO KEY UPDATE"

Heads = Cursor[tuple[Any, ...]]
"""The last events of files, asked for and not yet read."""


def begin(tx: Transaction, files: Sequence[tuple[Any, ...]]) -> None:
    """The first event of each new file (rows of table `file`): it arrived."""
    tx.execute(_INTO, columns(firsts(files)))


def heads(tx: Transaction, files: Sequence[str]) -> Heads:
    """Ask for the last events of these files, whose runs the transaction has locked: nobody else adds to their histories."""
    return tx.execute(_HEADS, ([*files],))


def heads_of(tx: Transaction, runs: Collection[Found]) -> Heads:
    """Ask for the last events of the files of these runs, which the transaction has locked; it locks those files' own runs, too."""
    files = {found.history for found in runs}
    if others := sorted(files - {found.id for found in runs}):
        tx.execute(_OWN, (others,))
    return heads(tx, sorted(files))


def append(tx: Transaction, at_us: int, told: Sequence[Told], heads: Heads) -> None:
    """Add these to the histories of their files, behind the `heads`."""
    known = {file_id: (n, hash) for file_id, n, hash in heads.fetchall()}
    if told:
        tx.execute(_INTO, columns(following(known, told, at_us)))


def tell(tx: Transaction, at_us: int, told: Sequence[Told]) -> None:
    """Add these to the histories of files whose runs are not locked yet."""
    if told:
        files = sorted({t.file_id for t in told})
        tx.execute(_OWN, (files,))
        append(tx, at_us, told, heads(tx, files))


def read(db: Transaction, file_id: str) -> list[Event]:
    """All events of a file, oldest first."""
    return [
        Event(file_id, n, at / 1_000_000, kind, _data(db, file_id, text, *named), hash.hex())
        for n, at, kind, text, hash, *named in rows(db, _READ, file_id)
    ]


def _data(db: Transaction, file_id: str, text: str | None, *named: str | None) -> dict[str, Any]:
    if text is None:
        return row.told(first(db, f"SELECT file_id, {row.ARRIVAL} FROM file WHERE file_id = %s", file_id))
    pipeline, revision = named
    return data(text, pipeline, revision)
