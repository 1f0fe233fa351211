"""The queue on SQLite: each verb is one transaction of few statements, and touches only rows that are due, leased or named."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from wharfinger.ledger import outcome, row
from wharfinger.ledger.run import is_held
from wharfinger.ledger.sqlite import child, lease, recover
from wharfinger.ledger.sqlite import settle as settling
from wharfinger.ledger.sqlite.arrive import arrive, known
from wharfinger.ledger.sqlite.connection import Connections, rows
from wharfinger.ledger.sqlite.run import named
from wharfinger.ledger.verb import ANY_SIZE, refuse_limit, refuse_more
from wharfinger.model import Arrival, Call, Family, Lease, Outcome, Run
from wharfinger.telemetry import crash


class SqliteLedger:
    """See Ledger. Files that arrive in bucket `tree` appear in the customers' tree."""

    def __init__(self, connections: Connections, *, tree: str, clock: Callable[[], float]) -> None:
        self._connections = connections
        self._tree = tree
        self._clock = clock
        self._revisions: dict[tuple[str, str], int] = {}

    def arrive(self, arrivals: Sequence[Arrival]) -> list[bool]:
        """See Ledger."""
        refuse_more(arrivals)
        with self._connections.writing() as tx:
            new = arrive(tx, arrivals, self._tree, self._now())
            crash.point("ledger.arriving")
        first = {a.file_id: n for n, a in reversed([*enumerate(arrivals)])}
        return [a.file_id in new and first[a.file_id] == n for n, a in enumerate(arrivals)]

    def knows(self, files: Sequence[str]) -> list[bool]:
        """See Ledger."""
        refuse_more(files)
        with self._connections.writing() as tx:
            # A commit whose sync failed may lie past the log's end, where a recovery would find it: this one is written over it.
            tx.pragma("user_version", tx.pragma("user_version"))
            recorded = known(tx, files)
        return [file in recorded for file in files]

    def digests(self, files: Sequence[str]) -> list[str]:
        """See Ledger."""
        refuse_more(files)
        with self._connections.reading() as db:
            recorded = known(db, files)
        return [recorded.get(file, "") for file in files]

    def claim(self, owner: str, limit: int, lease_s: float, *, max_size: int | None = None) -> list[Run]:
        """See Ledger."""
        refuse_limit(limit)
        size = ANY_SIZE if max_size is None else max_size
        with self._connections.reading() as db:
            if not lease.is_anything_ready(db, self._now(), size):
                return []
        with self._connections.writing() as tx:
            now = self._now()
            return lease.claim(tx, owner, limit, now, now + row.micros(lease_s), size)

    def extend(self, leases: Sequence[Lease], lease_s: float) -> list[bool]:
        """See Ledger."""
        refuse_more(leases)
        with self._connections.writing() as tx:
            return lease.extend(tx, leases, self._now() + row.micros(lease_s))

    def release(self, leases: Sequence[Lease]) -> list[bool]:
        """See Ledger."""
        refuse_more(leases)
        with self._connections.writing() as tx:
            return lease.release(tx, leases, self._now())

    def spawn(self, calls: Sequence[Call]) -> list[list[bool] | None]:
        """See Ledger."""
        refuse_more([each for call in calls for each in call.children])
        self._intern({(each.revision, each.pipeline) for call in calls for each in call.children})
        with self._connections.writing() as tx:
            runs, now = named(tx, [call.run for call in calls]), self._now()
            return [
                child.spawn(tx, call, runs[call.run], self._revisions, now)
                if is_held(runs, Lease(call.run, call.token))
                else None
                for call in calls
            ]

    def families(self, calls: Sequence[tuple[str, str]]) -> list[Family]:
        """See Ledger."""
        refuse_more(calls)
        with self._connections.snapshot() as db:
            return [child.family(db, run, call) for run, call in calls]

    def settle(self, outcomes: Sequence[Outcome]) -> list[bool]:
        """See Ledger. Raises ValueError, before anything is written, if a state does not go with its status."""
        refuse_more(outcomes)
        outcome.check(outcomes)
        self._intern({(o.revision, o.pipeline) for o in outcomes if o.pipeline})
        with self._connections.writing() as tx:
            answers = settling.settle(tx, outcomes, self._revisions, self._now())
            crash.point("ledger.settling")
        return answers

    def sweep(self, *, owner: str | None = None, crashed: bool = True) -> list[str]:
        """See Ledger."""
        asked = self._now()
        with self._connections.reading() as db:
            if not recover.lost(db, owner, asked):
                return []
        with self._connections.writing() as tx:
            now = self._now()
            runs = recover.lost(tx, owner, asked)
            if crashed:
                recover.take_back(tx, runs, "the lease ended" if owner is None else "its owner died", now)
            else:
                lease.release(tx, [Lease(found.id, found.token) for found in runs], now)
        return [found.id for found in runs]

    def replay(self, files: Sequence[str], *, by: str = "") -> list[bool]:
        """See Ledger."""
        refuse_more(files)
        with self._connections.writing() as tx:
            return recover.replay(tx, files, by, self._now())

    def cancel(self, files: Sequence[str], by: str) -> list[bool]:
        """See Ledger."""
        refuse_more(files)
        with self._connections.writing() as tx:
            return recover.cancel(tx, files, by, self._now())

    def cancel_children(self) -> list[str]:
        """See Ledger."""
        with self._connections.reading() as db:
            if not recover.forsaken(db):
                return []
        with self._connections.writing() as tx:
            return recover.cancel_children(tx, self._now())

    def obsolete_checkpoints(self, *, after: str = "") -> list[Lease]:
        """See Ledger."""
        with self._connections.reading() as db:
            return recover.obsolete_checkpoints(db, after)

    def drop_checkpoints(self, leases: Sequence[Lease]) -> list[bool]:
        """See Ledger."""
        refuse_more(leases)
        with self._connections.writing() as tx:
            return recover.drop_checkpoints(tx, leases)

    def register(self, revision: str, pipeline: str, document: str) -> None:
        """See Ledger."""
        with self._connections.writing() as tx:
            tx.execute(
                "INSERT INTO revision(revision, pipeline, document) VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET document = coalesce(document, excluded.document)",
                (revision, pipeline, document),
            )

    def _intern(self, pairs: Collection[tuple[str, str]]) -> None:
        """Give each (revision, pipeline) its number, in a transaction of its own: a number that is known stays true."""
        new = [pair for pair in pairs if pair not in self._revisions]
        if not new:
            return
        with self._connections.writing() as tx:
            tx.executemany("INSERT INTO revision(revision, pipeline) VALUES (?, ?) ON CONFLICT DO NOTHING", new)
        with self._connections.reading() as db:
            known = rows(db, "SELECT revision, pipeline, n FROM revision")
        self._revisions = {(revision, pipeline): n for revision, pipeline, n in known}

    def _now(self) -> int:
        return row.micros(self._clock())
