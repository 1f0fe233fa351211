"""Events: written in the transaction of the fact they tell, chained file by file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from wharfinger.ledger import row
from wharfinger.ledger.history import Told, data, firsts, following
from wharfinger.ledger.sqlite.connection import first, insert, many, rows
from wharfinger.model import Event

_INTO = "event(file_id, n, at, kind, revision, data, hash)"

_HEADS = """
SELECT e.file_id, e.n, e.hash FROM json_each(?) wanted CROSS JOIN event e
ON e.file_id = wanted.value AND e.n = (SELECT max(n) FROM event WHERE file_id = wanted.value)
"""

_READ = """
SELECT event.n, at, kind, data, hash, v.pipeline, v.revision FROM event LEFT JOIN revision v ON v.n = event.revision
WHERE file_id = ? ORDER BY event.n
"""


def begin(tx: apsw.Connection, files: Sequence[tuple[Any, ...]]) -> None:
    """The first event of each new file (rows of table `file`): it arrived."""
    insert(tx, _INTO, firsts(files))
    _await_checkpoint(tx, [f[0] for f in files])


def append(tx: apsw.Connection, at_us: int, told: Sequence[Told]) -> None:
    """Add these to the histories of their files."""
    if told:
        files = [t.file_id for t in told]
        heads = {file_id: (n, hash) for file_id, n, hash in rows(tx, _HEADS, many(files))}
        insert(tx, _INTO, following(heads, told, at_us))
        _await_checkpoint(tx, files)


def read(db: apsw.Connection, file_id: str) -> list[Event]:
    """All events of a file, oldest first."""
    return [
        Event(file_id, n, at / 1_000_000, kind, _data(db, file_id, text, *named), hash.hex())
        for n, at, kind, text, hash, *named in rows(db, _READ, file_id)
    ]


def _await_checkpoint(tx: apsw.Connection, files: Sequence[str]) -> None:
    insert(tx, "audit_pending(file_id)", [(file_id,) for file_id in files], conflict="ON CONFLICT DO NOTHING")


def _data(db: apsw.Connection, file_id: str, text: str | None, *named: str | None) -> dict[str, Any]:
    if text is None:
        return row.told(first(db, f"SELECT file_id, {row.ARRIVAL} FROM file WHERE file_id = ?", file_id))
    pipeline, revision = named
    return data(text, pipeline, revision)
