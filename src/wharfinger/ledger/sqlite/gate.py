"""Pipelines that are paused, on SQLite, and the runs that wait for them."""

from __future__ import annotations

from collections.abc import Callable

import apsw

from wharfinger.ledger import MANY, Gate, row
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.run import HELD, QUEUED
from wharfinger.ledger.sqlite import figure, history
from wharfinger.ledger.sqlite.connection import Connections, first, many, rows
from wharfinger.ledger.sqlite.run import named

_IS_HELD = "r.state = 'waiting' AND r.status = 'queued'"  # the condition of index run_held, word for word

_SET = """
INSERT INTO gate(pipeline, paused, at, by) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT DO UPDATE SET paused = excluded.paused, at = excluded.at, by = excluded.by WHERE gate.paused <> excluded.paused
RETURNING pipeline
"""

_PAUSED = "SELECT pipeline FROM gate WHERE paused"

_GATES = f"""
SELECT g.pipeline, g.at, g.by,
  (SELECT count(*) FROM revision v CROSS JOIN run r ON r.revision = v.n WHERE v.pipeline = g.pipeline AND {_IS_HELD})
FROM gate g WHERE g.paused ORDER BY g.pipeline
"""

_RESUMED = f"""
SELECT r.id, r.revision, v.pipeline, coalesce(g.by, ''), v.revision
FROM revision v LEFT JOIN gate g ON g.pipeline = v.pipeline CROSS JOIN run r ON r.revision = v.n
WHERE NOT coalesce(g.paused, 0) AND {_IS_HELD} LIMIT {MANY}
"""

_WAKE = "UPDATE run SET state = 'ready' WHERE id IN (SELECT value FROM json_each(?))"


class SqliteGates:
    """See Gates."""

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
        with self._connections.reading() as db:
            return paused(db)

    def gates(self) -> list[Gate]:
        """See Gates."""
        with self._connections.reading() as db:
            return [Gate(pipeline, at / 1_000_000, by, held) for pipeline, at, by, held in rows(db, _GATES)]

    def wake(self) -> list[str]:
        """See Gates."""
        with self._connections.reading() as db:
            if first(db, _RESUMED) is None:
                return []
        with self._connections.writing() as tx:
            resumed = {r[0]: r[1:] for r in rows(tx, _RESUMED)}
            tx.execute(_WAKE, (many([*resumed]),))
            tally = Tally()
            told = []
            for id, found in named(tx, [*resumed]).items():
                n, pipeline, by, revision = resumed[id]
                told.append(found.told("woken", {"pipeline": pipeline, "revision": revision, "by": by}, n))
                tally.moved(HELD, QUEUED, is_child=found.parent is not None)
            figure.write(tx, tally)
            history.append(tx, self._now(), told)
        return [*resumed]

    def _set(self, pipeline: str, by: str, *, paused: bool) -> bool:
        with self._connections.writing() as tx:
            return first(tx, _SET, pipeline, paused, self._now(), by) is not None

    def _now(self) -> int:
        return row.micros(self._clock())


def paused(db: apsw.Connection) -> frozenset[str]:
    """The pipelines that are paused now."""
    return frozenset(pipeline for (pipeline,) in rows(db, _PAUSED))
