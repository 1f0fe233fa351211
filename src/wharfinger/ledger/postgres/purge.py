"""Bytes that are given up, on Postgres."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from wharfinger.ledger import MANY, row
from wharfinger.ledger import purge as shared
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.group import left
from wharfinger.ledger.postgres import figure, group, history, rank, tree
from wharfinger.ledger.postgres.connection import Connections, Transaction, columns, rows
from wharfinger.ledger.postgres.run import named
from wharfinger.ledger.run import Found
from wharfinger.ledger.tree import split
from wharfinger.ledger.verb import refuse_more
from wharfinger.model import Arrival, Purge, Status
from wharfinger.telemetry import crash

_KEPT = f"""
SELECT f.file_id, f.key, ({shared.RENAMED}) FROM file f WHERE f.purged IS NULL AND f.file_id = ANY(%s::text[])
"""

_GIVE_UP = "UPDATE file SET purged = %s WHERE file_id = ANY(%s::text[])"
_GIVEN_UP = "SELECT file_id FROM file WHERE purged IS NOT NULL AND file_id = ANY(%s::text[])"

_DISMISS = """
UPDATE run SET state = dismissed.state FROM unnest(%s::text[], %s::text[]) AS dismissed(id, state) WHERE run.id = dismissed.id
"""

_AT = "FROM unnest(%s::text[], %s::text[], %s::text[]) AS old(parent, name, file_id)"
_SAME = "name.parent = old.parent AND name.name = old.name AND name.file_id = old.file_id"
_UNCOVER = f"UPDATE name SET file_id = NULL {_AT} WHERE {_SAME} AND name.staged IS NOT NULL"
_HIDE = f"DELETE FROM name USING {_AT.removeprefix('FROM ')} WHERE {_SAME}"

_ORDER = """
INSERT INTO purge_order(file_id, at, "by", rule) SELECT id, %s, %s, %s FROM unnest(%s::text[]) AS ordered(id)
"""

_ORDERED = f"""
SELECT p.at, p."by", p.rule, r.status, r.error, f.{row.ARRIVAL.replace(", ", ", f.")}
FROM purge_order p JOIN file f ON f.file_id = p.file_id JOIN run r ON r.id = p.file_id
WHERE p.file_id > %s ORDER BY p.file_id LIMIT {MANY}
"""

_CONFIRM = """
WITH gone AS (DELETE FROM purge_order WHERE file_id = ANY(%s::text[]) RETURNING file_id, at, "by", rule)
SELECT gone.file_id, r.size, gone.at, gone."by", gone.rule, r.status, r.error FROM gone JOIN run r ON r.id = gone.file_id
"""


class PostgresPurges:
    """See Purges."""

    def __init__(self, connections: Connections, clock: Callable[[], float]) -> None:
        self._connections = connections
        self._clock = clock

    def order(self, files: Sequence[str], *, by: str, rule: str = "") -> list[bool]:
        """See Purges."""
        refuse_more(files)

        def work(tx: Transaction) -> set[str]:
            group.lock_of(tx, files)
            tree.own(tx, _kept(tx, files).values())
            runs, now = named(tx, files), self._now()
            paths = {id: path for id, path in _kept(tx, files).items() if shared.has_ended(runs[id])}
            if paths:
                _give_up(tx, {id: runs[id] for id in paths}, now)
                _hide(tx, paths)
                tx.execute(_ORDER, (now, by, rule, sorted(paths)))
            crash.point("ledger.purging")
            return {*paths}

        ordered = self._connections.write(work) if files else set()
        return [_take(ordered, id) for id in files]

    def ordered(self, *, after: str = "") -> list[Arrival]:
        """See Purges."""
        return [_arrival(*r) for r in self._connections.read(lambda db: rows(db, _ORDERED, after))]

    def confirm(self, files: Sequence[str]) -> list[bool]:
        """See Purges."""
        refuse_more(files)

        def work(tx: Transaction) -> set[str]:
            named(tx, files)
            told, tally = [], Tally()
            for id, size, at, by, rule, status, error in rows(tx, _CONFIRM, [*files]):
                told.append(shared.gone(id, size, Purge(at / 1_000_000, by, rule, Status(status), error)))
                tally.ordered(-1)
                tally.purged(size)
            figure.write(tx, tally)
            history.tell(tx, self._now(), told)
            return {each.file_id for each in told}

        confirmed = self._connections.write(work) if files else set()
        return [_take(confirmed, id) for id in files]

    def _now(self) -> int:
        return row.micros(self._clock())


def given_up(tx: Transaction, files: Sequence[str]) -> set[str]:
    """Those of these files whose bytes nobody may rely on."""
    return {id for (id,) in rows(tx, _GIVEN_UP, [*files])}


def restore(tx: Transaction, arrival: Arrival, purge: Purge, tally: Tally) -> None:
    """Of a file that was lost with its ledger: its bytes were gone before."""
    at = row.micros(purge.at)
    tx.execute(_GIVE_UP, (at, [arrival.file_id]))
    history.tell(tx, at, [shared.gone(arrival.file_id, arrival.size, purge)])
    tally.purged(arrival.size)


def _kept(tx: Transaction, files: Sequence[str]) -> dict[str, str]:
    """Those of these files whose bytes are kept, with the path that the tree has for each."""
    return {id: shared.path(key, renamed) for id, key, renamed in rows(tx, _KEPT, [*files])}


def _give_up(tx: Transaction, runs: Mapping[str, Found], now_us: int) -> None:
    places = {id: shared.dismissed(found) for id, found in runs.items()}
    changed = {id: place for id, place in places.items() if place != runs[id].place}
    tx.execute(_GIVE_UP, (now_us, sorted(runs)))
    tally = Tally()
    tally.ordered(len(runs))
    tally.incomplete(-sum(found.is_incomplete for found in runs.values()))
    if changed:
        tx.execute(_DISMISS, columns([(id, str(state)) for id, (state, _) in changed.items()]))
    for id, place in changed.items():
        runs[id].move(place, tally)
    rank.enter_again(tx, group.advance(tx, left((runs[id], place) for id, place in changed.items()), now_us, tally))
    figure.write(tx, tally)


def _hide(tx: Transaction, paths: Mapping[str, str]) -> None:
    """Take the names of these files out of the tree; an unfinished upload that covers one stays."""
    names: Iterable[tuple[str, str, str]] = ((*split(path)[:2], id) for id, path in paths.items())
    old = columns(sorted(names))
    for sql in (_UNCOVER, _HIDE):
        tx.execute(sql, old)


def _take(ids: set[str], id: str) -> bool:
    """Whether it is among them; the second time it is not."""
    found = id in ids
    ids.discard(id)
    return found


def _arrival(at: int, by: str, rule: str, status: str, error: str, *arrival: object) -> Arrival:
    return row.to_arrival(arrival, purge=Purge(at / 1_000_000, by, rule, Status(status), error))
