"""Bytes that are given up, on SQLite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import apsw

from wharfinger.ledger import MANY, row
from wharfinger.ledger import purge as shared
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.group import left
from wharfinger.ledger.run import Found
from wharfinger.ledger.sqlite import figure, group, history
from wharfinger.ledger.sqlite.connection import Connections, first, insert, many, rows
from wharfinger.ledger.sqlite.run import named
from wharfinger.ledger.tree import split
from wharfinger.ledger.verb import refuse_more
from wharfinger.model import Arrival, Purge, Status
from wharfinger.telemetry import crash

_KEPT = f"""
SELECT f.file_id, f.key, ({shared.RENAMED}) FROM file f
WHERE f.purged IS NULL AND f.file_id IN (SELECT value FROM json_each(?))
"""

_GIVE_UP = "UPDATE file SET purged = ? WHERE file_id = ?"
_GIVEN_UP = "SELECT file_id FROM file WHERE purged IS NOT NULL AND file_id IN (SELECT value FROM json_each(?))"
_DISMISS = "UPDATE run SET state = ? WHERE id = ?"

_UNCOVER = "UPDATE name SET file_id = NULL WHERE parent = ? AND name = ? AND file_id = ? AND staged IS NOT NULL"
_HIDE = "DELETE FROM name WHERE parent = ? AND name = ? AND file_id = ?"

_ORDERED = f"""
SELECT p.at, p.by, p.rule, r.status, r.error, f.{row.ARRIVAL.replace(", ", ", f.")}
FROM purge_order p CROSS JOIN file f ON f.file_id = p.file_id CROSS JOIN run r ON r.id = p.file_id
WHERE p.file_id > ? ORDER BY p.file_id LIMIT {MANY}
"""

_CONFIRM = "DELETE FROM purge_order WHERE file_id = ? RETURNING at, by, rule"
_ENDED = "SELECT size, status, error FROM run WHERE id = ?"


class SqlitePurges:
    """See Purges."""

    def __init__(self, connections: Connections, clock: Callable[[], float]) -> None:
        self._connections = connections
        self._clock = clock

    def order(self, files: Sequence[str], *, by: str, rule: str = "") -> list[bool]:
        """See Purges."""
        refuse_more(files)
        with self._connections.writing() as tx:
            runs, now = named(tx, files), self._now()
            paths = {id: shared.path(key, renamed) for id, key, renamed in rows(tx, _KEPT, many(files))}
            ended = {id: runs[id] for id in paths if shared.has_ended(runs[id])}
            _give_up(tx, ended, now)
            _hide(tx, {id: paths[id] for id in ended})
            insert(tx, "purge_order(file_id, at, by, rule)", [(id, now, by, rule) for id in ended])
            crash.point("ledger.purging")
        return [ended.pop(id, None) is not None for id in files]

    def ordered(self, *, after: str = "") -> list[Arrival]:
        """See Purges."""
        with self._connections.reading() as db:
            return [_arrival(*r) for r in rows(db, _ORDERED, after)]

    def confirm(self, files: Sequence[str]) -> list[bool]:
        """See Purges."""
        refuse_more(files)
        with self._connections.writing() as tx:
            orders = [first(tx, _CONFIRM, file_id) for file_id in files]
            told, tally = [], Tally()
            for file_id, order in zip(files, orders):
                if order:
                    at, by, rule = order
                    size, status, error = first(tx, _ENDED, file_id)
                    purge = Purge(at / 1_000_000, by, rule, Status(status), error)
                    told.append(shared.gone(file_id, size, purge))
                    tally.ordered(-1)
                    tally.purged(size)
            figure.write(tx, tally)
            history.append(tx, self._now(), told)
        return [order is not None for order in orders]

    def _now(self) -> int:
        return row.micros(self._clock())


def given_up(tx: apsw.Connection, files: Sequence[str]) -> set[str]:
    """Those of these files whose bytes nobody may rely on."""
    return {id for (id,) in rows(tx, _GIVEN_UP, many(files))}


def restore(tx: apsw.Connection, arrival: Arrival, purge: Purge, tally: Tally) -> None:
    """Of a file that was lost with its ledger: its bytes were gone before."""
    at = row.micros(purge.at)
    tx.execute(_GIVE_UP, (at, arrival.file_id))
    history.append(tx, at, [shared.gone(arrival.file_id, arrival.size, purge)])
    tally.purged(arrival.size)


def _give_up(tx: apsw.Connection, runs: Mapping[str, Found], now_us: int) -> None:
    tally = Tally()
    moves = []
    for id, found in runs.items():
        place = shared.dismissed(found)
        tx.execute(_GIVE_UP, (now_us, id))
        if place != found.place:
            tx.execute(_DISMISS, (place[0], id))
            found.move(place, tally)
            moves.append((found, place))
        tally.ordered(1)
        tally.incomplete(-found.is_incomplete)
    figure.write(tx, tally)
    group.advance(tx, left(moves), now_us)


def _hide(tx: apsw.Connection, paths: Mapping[str, str]) -> None:
    """Take the names of these files out of the tree; an unfinished upload that covers one stays."""
    for id, path in paths.items():
        for sql in (_UNCOVER, _HIDE):
            tx.execute(sql, (*split(path)[:2], id))


def _arrival(at: int, by: str, rule: str, status: str, error: str, *arrival: object) -> Arrival:
    return row.to_arrival(arrival, purge=Purge(at / 1_000_000, by, rule, Status(status), error))
