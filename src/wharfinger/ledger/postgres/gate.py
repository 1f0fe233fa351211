"""Pipelines that are paused, on Postgres, and the runs that wait for them."""

from __future__ import annotations

from collections.abc import Callable

from wharfinger.ledger import MANY, Gate, row
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.postgres import figure, history
from wharfinger.ledger.postgres.connection import Connections, Transaction, first, rows
from wharfinger.ledger.postgres.run import with_kin
from wharfinger.ledger.run import HELD, QUEUED

_IS_HELD = "state = 'waiting' AND status = 'queued'"  # the condition of index run_held, word for word

_SET = """
INSERT INTO gate(pipeline, paused, at, "by") VALUES (%s, %s, %s, %s)
ON CONFLICT (pipeline) DO UPDATE SET paused = excluded.paused, at = excluded.at, "by" = excluded."by"
WHERE gate.paused <> excluded.paused
RETURNING pipeline
"""

_PAUSED = "SELECT pipeline FROM gate WHERE paused"

_GATES = f"""
SELECT g.pipeline, g.at, g."by",
  (SELECT count(*) FROM revision v CROSS JOIN LATERAL (SELECT id FROM run WHERE revision = v.n AND {_IS_HELD}) r
   WHERE v.pipeline = g.pipeline)
FROM gate g WHERE g.paused ORDER BY g.pipeline
"""

_RESUMED = f"""
SELECT r.id, v.n, v.pipeline, coalesce(g."by", ''), v.revision
FROM revision v LEFT JOIN gate g ON g.pipeline = v.pipeline
CROSS JOIN LATERAL (SELECT id FROM run WHERE revision = v.n AND {_IS_HELD} LIMIT {MANY}) r
WHERE NOT coalesce(g.paused, false) LIMIT {MANY}
"""

_WAKE = "UPDATE run SET state = 'ready' WHERE id = ANY(%s::text[])"


class PostgresGates:
    """See Gates. A worker's settle that was under way while somebody resumed may leave a run to the next `wake`."""

    def __init__(self, connections: Connections, clock: Callable[[], float]) -> None:
        self._connections = connections
        self._clock = clock

    def pause(self, pipeline: str, by: str) -> bool:
        """See Gates."""
        return self._set(pipeline, by, paused=True)

    def resume(self, pipeline: str, by: str) -> bool:
        """See Gates."""
        return pipeline in self.paused() and self._set(pipeline, by, paused=False)

    def paused(self) -> frozenset[str]:
        """See Gates."""
        return self._connections.read(paused)

    def gates(self) -> list[Gate]:
        """See Gates."""
        found = self._connections.read(lambda db: rows(db, _GATES))
        return [Gate(pipeline, at / 1_000_000, by, held) for pipeline, at, by, held in found]

    def wake(self) -> list[str]:
        """See Gates."""
        if not self._connections.read(lambda db: first(db, _RESUMED)):
            return []
        return self._connections.write(lambda tx: _wake(tx, row.micros(self._clock())))

    def _set(self, pipeline: str, by: str, *, paused: bool) -> bool:
        at = row.micros(self._clock())
        return self._connections.write(lambda tx: first(tx, _SET, pipeline, paused, at, by)) is not None


def paused(db: Transaction) -> frozenset[str]:
    """The pipelines that are paused now."""
    return frozenset(pipeline for (pipeline,) in rows(db, _PAUSED))


def _wake(tx: Transaction, now_us: int) -> list[str]:
    """Those that nobody else has woken meanwhile."""
    resumed = {r[0]: r[1:] for r in rows(tx, _RESUMED)}
    runs = with_kin(tx, [*resumed])
    held = [found for found in runs.values() if found.id in resumed and found.place == HELD]
    if not held:
        return []
    heads = history.heads_of(tx, held)
    tx.execute(_WAKE, ([found.id for found in held],))
    tally = Tally()
    told = []
    for found in held:
        n, pipeline, by, revision = resumed[found.id]
        told.append(found.told("woken", {"pipeline": pipeline, "revision": revision, "by": by}, n))
        found.move(QUEUED, tally)
    figure.write(tx, tally)
    history.append(tx, now_us, told, heads)
    return [found.id for found in held]
