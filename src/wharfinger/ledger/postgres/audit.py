"""Checkpoints on Postgres: one transaction each, of bounded size; one session at a time makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wharfinger.ledger import HEADS, MANY, AuditCheckpoint, Coverage, Head, Leaf, Sign, row
from wharfinger.ledger.checkpoint import WAITS_SINCE
from wharfinger.ledger.postgres.connection import Connections, Transaction, columns, first, locked, rows
from wharfinger.telemetry import crash

_HEADS = """
SELECT p.file_id, e.n, e.hash FROM (SELECT DISTINCT file_id FROM audit_pending ORDER BY file_id LIMIT %s) p
CROSS JOIN LATERAL (SELECT n, hash FROM event WHERE file_id = p.file_id ORDER BY n DESC LIMIT 1) e ORDER BY p.file_id
"""

_WAITING = "SELECT count(*) FROM (SELECT DISTINCT file_id FROM audit_pending LIMIT %s) waiting"

_COVER = """
INSERT INTO audit_leaf(checkpoint, file_id, n, hash)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::integer[], %s::bytea[])
"""

_COVERED = """
DELETE FROM audit_pending p USING unnest(%s::text[], %s::integer[]) AS covered(file_id, n)
WHERE p.file_id = covered.file_id AND p.n <= covered.n
"""

_LEAVES = """
SELECT l.file_id, l.n, l.hash,
  (SELECT e.hash FROM event e JOIN file USING (file_id) JOIN run ON run.id = file_id WHERE file_id = l.file_id AND e.n = l.n)
FROM audit_leaf l WHERE l.checkpoint = %s ORDER BY l.file_id
"""

_COVERAGE = """
SELECT coalesce((SELECT max(n) FROM audit_leaf WHERE file_id = wanted.id), 0),
  EXISTS (SELECT 1 FROM audit_pending WHERE file_id = wanted.id)
FROM unnest(%s::text[]) WITH ORDINALITY AS wanted(id, place) ORDER BY wanted.place
"""

_CHECKPOINTS = "SELECT n, at, signed FROM audit_checkpoint"


class PostgresAudit:
    """See Audit."""

    def __init__(self, connections: Connections, clock: Callable[[], float]) -> None:
        self._connections = connections
        self._clock = clock

    def checkpoint(self, sign: Sign, *, every_s: float, limit: int = HEADS) -> AuditCheckpoint | None:
        """See Audit."""

        def work(tx: Transaction) -> AuditCheckpoint | None:
            locked(tx, "checkpoint")
            now = self._clock()
            if not _is_due(tx, now, every_s, limit):
                return None
            made = _cover(tx, sign, now, limit)
            crash.point("ledger.checkpointing")
            return made

        if not self._connections.read(lambda db: _is_due(db, self._clock(), every_s, limit)):
            return None
        return self._connections.write(work)

    def last(self) -> AuditCheckpoint | None:
        """See Audit."""
        return self._connections.read(_last)

    def checkpoints(self, *, after: int = 0, limit: int = MANY) -> list[AuditCheckpoint]:
        """See Audit."""
        sql = f"{_CHECKPOINTS} WHERE n > %s ORDER BY n LIMIT %s"
        return [_checkpoint(*found) for found in self._connections.read(lambda db: rows(db, sql, after, limit))]

    def leaves(self, checkpoint: int) -> list[Leaf]:
        """See Audit."""
        found = self._connections.read(lambda db: rows(db, _LEAVES, checkpoint))
        return [Leaf(Head(file_id, n, hash.hex()), now.hex() if now else "") for file_id, n, hash, now in found]

    def covering(self, file_id: str) -> list[int]:
        """See Audit."""
        sql = "SELECT checkpoint FROM audit_leaf WHERE file_id = %s ORDER BY n"
        return [n for (n,) in self._connections.read(lambda db: rows(db, sql, file_id))]

    def coverage(self, files: Sequence[str]) -> list[Coverage]:
        """See Audit."""
        return [Coverage(*found) for found in self._connections.read(lambda db: rows(db, _COVERAGE, [*files]))]

    def waits_since(self) -> float | None:
        """See Audit."""
        found = self._connections.read(lambda db: first(db, WAITS_SINCE))
        return found[0] / 1_000_000 if found else None

    def publish(self, keys: Sequence[bytes], *, anew: bool = False) -> list[bytes]:
        """See Audit."""

        def work(tx: Transaction) -> list[bytes]:
            locked(tx, "keys")
            known = _keys(tx)
            if anew or not known or set(keys) & set(known):
                new = [key.decode() for key in keys if key not in known]
                tx.execute("INSERT INTO audit_key(document) SELECT * FROM unnest(%s::text[])", (new,))
            return _keys(tx)

        known = self._connections.read(_keys)
        return known if set(keys) <= set(known) else self._connections.write(work)


def _keys(db: Transaction) -> list[bytes]:
    return [key.encode() for (key,) in rows(db, "SELECT document FROM audit_key ORDER BY n")]


def _is_due(db: Transaction, now: float, every_s: float, limit: int) -> bool:
    """A clock that was set back makes it due as well."""
    last = _last(db)
    wanted = 1 if last is None or abs(now - last.at) >= every_s else limit
    waiting: int = first(db, _WAITING, wanted)[0]
    return waiting == wanted


def _cover(tx: Transaction, sign: Sign, now: float, limit: int) -> AuditCheckpoint | None:
    before = _last(tx)
    heads = rows(tx, _HEADS, limit)
    if not heads:  # whoever took the events away left the files in line
        return None
    signed = sign([Head(file_id, n, hash.hex()) for file_id, n, hash in heads], before, now)
    made = AuditCheckpoint(before.n + 1 if before else 1, row.micros(now) / 1_000_000, signed)
    insert = "INSERT INTO audit_checkpoint(n, at, signed) VALUES (%s, %s, %s)"
    tx.execute(insert, (made.n, row.micros(now), signed.decode()))
    tx.execute(_COVER, columns([(made.n, *head) for head in heads]))
    tx.execute(_COVERED, columns([head[:2] for head in heads]))
    return made


def _last(db: Transaction) -> AuditCheckpoint | None:
    found = first(db, f"{_CHECKPOINTS} ORDER BY n DESC LIMIT 1")
    return _checkpoint(*found) if found else None


def _checkpoint(n: int, at: int, signed: str) -> AuditCheckpoint:
    return AuditCheckpoint(n, at / 1_000_000, signed.encode())
