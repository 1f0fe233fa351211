"""Checkpoints on SQLite: one transaction each, of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import apsw

from wharfinger.ledger import HEADS, MANY, AuditCheckpoint, Coverage, Head, Leaf, Sign, row
from wharfinger.ledger.checkpoint import WAITS_SINCE
from wharfinger.ledger.sqlite.connection import Connections, first, insert, many, rows
from wharfinger.telemetry import crash

_HEADS = """
SELECT p.file_id, e.n, e.hash FROM (SELECT file_id FROM audit_pending ORDER BY file_id LIMIT ?) p CROSS JOIN event e
ON e.file_id = p.file_id AND e.n = (SELECT max(n) FROM event WHERE file_id = p.file_id) ORDER BY p.file_id
"""

_LEAVES = """
SELECT l.file_id, l.n, l.hash,
  (SELECT e.hash FROM event e JOIN file USING (file_id) JOIN run ON run.id = file_id WHERE file_id = l.file_id AND e.n = l.n)
FROM audit_leaf l WHERE l.checkpoint = ? ORDER BY l.file_id
"""

_COVERAGE = """
SELECT coalesce((SELECT max(n) FROM audit_leaf WHERE file_id = wanted.value), 0),
  EXISTS (SELECT 1 FROM audit_pending WHERE file_id = wanted.value)
FROM json_each(?) wanted ORDER BY wanted.key
"""


class SqliteAudit:
    """See Audit."""

    def __init__(self, connections: Connections, clock: Callable[[], float]) -> None:
        self._connections = connections
        self._clock = clock

    def checkpoint(self, sign: Sign, *, every_s: float, limit: int = HEADS) -> AuditCheckpoint | None:
        """See Audit."""
        with self._connections.reading() as db:
            if not _is_due(db, self._clock(), every_s, limit):
                return None
        with self._connections.writing() as tx:
            now = self._clock()
            if not _is_due(tx, now, every_s, limit):
                return None
            made = _cover(tx, sign, now, limit)
            crash.point("ledger.checkpointing")
        return made

    def last(self) -> AuditCheckpoint | None:
        """See Audit."""
        with self._connections.reading() as db:
            return _last(db)

    def checkpoints(self, *, after: int = 0, limit: int = MANY) -> list[AuditCheckpoint]:
        """See Audit."""
        sql = "SELECT n, at, signed FROM audit_checkpoint WHERE n > ? ORDER BY n LIMIT ?"
        with self._connections.reading() as db:
            return [_checkpoint(n, at, signed) for n, at, signed in rows(db, sql, after, limit)]

    def leaves(self, checkpoint: int) -> list[Leaf]:
        """See Audit."""
        with self._connections.reading() as db:
            found = rows(db, _LEAVES, checkpoint)
        return [Leaf(Head(file_id, n, hash.hex()), now.hex() if now else "") for file_id, n, hash, now in found]

    def covering(self, file_id: str) -> list[int]:
        """See Audit."""
        sql = "SELECT checkpoint FROM audit_leaf WHERE file_id = ? ORDER BY n"
        with self._connections.reading() as db:
            return [n for (n,) in rows(db, sql, file_id)]

    def coverage(self, files: Sequence[str]) -> list[Coverage]:
        """See Audit."""
        with self._connections.reading() as db:
            return [Coverage(n, bool(awaits)) for n, awaits in rows(db, _COVERAGE, many(files))]

    def waits_since(self) -> float | None:
        """See Audit."""
        with self._connections.reading() as db:
            found = first(db, WAITS_SINCE)
        return found[0] / 1_000_000 if found else None

    def publish(self, keys: Sequence[bytes], *, anew: bool = False) -> list[bytes]:
        """See Audit."""
        with self._connections.reading() as db:
            known = _keys(db)
        if set(keys) <= set(known):
            return known
        with self._connections.writing() as tx:
            known = _keys(tx)
            if anew or not known or set(keys) & set(known):
                insert(tx, "audit_key(document)", [(key.decode(),) for key in keys if key not in known])
            return _keys(tx)


def _keys(db: apsw.Connection) -> list[bytes]:
    return [key.encode() for (key,) in rows(db, "SELECT document FROM audit_key ORDER BY n")]


def _is_due(db: apsw.Connection, now: float, every_s: float, limit: int) -> bool:
    """A clock that was set back makes it due as well."""
    last = _last(db)
    wanted = 1 if last is None or abs(now - last.at) >= every_s else limit
    return len(rows(db, "SELECT 1 FROM audit_pending LIMIT ?", wanted)) == wanted


def _cover(tx: apsw.Connection, sign: Sign, now: float, limit: int) -> AuditCheckpoint | None:
    before = _last(tx)
    heads = rows(tx, _HEADS, limit)
    if not heads:  # whoever took the events away left the files in line
        return None
    signed = sign([Head(file_id, n, hash.hex()) for file_id, n, hash in heads], before, now)
    made = AuditCheckpoint(before.n + 1 if before else 1, row.micros(now) / 1_000_000, signed)
    insert(tx, "audit_checkpoint(n, at, signed)", [(made.n, row.micros(now), signed.decode())])
    leaves = [(made.n, *head) for head in heads]
    insert(tx, "audit_leaf(checkpoint, file_id, n, hash)", leaves)
    tx.execute("DELETE FROM audit_pending WHERE file_id <= ?", (heads[-1][0],))
    return made


def _last(db: apsw.Connection) -> AuditCheckpoint | None:
    found = first(db, "SELECT n, at, signed FROM audit_checkpoint ORDER BY n DESC LIMIT 1")
    return found and _checkpoint(*found)


def _checkpoint(n: int, at: int, signed: str) -> AuditCheckpoint:
    return AuditCheckpoint(n, at / 1_000_000, signed.encode())
