"""The queue on Postgres: each verb is one transaction of few round trips, and touches only rows that are due, leased or named."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from wharfinger.ledger import outcome, row
from wharfinger.ledger.postgres import child, lease, recover
from wharfinger.ledger.postgres import settle as settling
from wharfinger.ledger.postgres.arrive import arrive, known, unknown
from wharfinger.ledger.postgres.connection import Connections, Transaction, columns, first, rows
from wharfinger.ledger.verb import ANY_SIZE, refuse_limit, refuse_more
from wharfinger.model import Arrival, Call, Family, Lease, Outcome, Run
from wharfinger.telemetry import crash

_INTERN = """
INSERT INTO revision(revision, pipeline) SELECT * FROM unnest(%s::text[], %s::text[]) ON CONFLICT DO NOTHING
"""

_REGISTER = """
INSERT INTO revision(revision, pipeline, document) VALUES (%s, %s, %s)
ON CONFLICT (revision, pipeline) DO UPDATE SET document = coalesce(revision.document, excluded.document) RETURNING n
"""


class PostgresLedger:
    """See Ledger. Files that arrive in bucket `tree` appear in the customers' tree."""

    def __init__(self, connections: Connections, *, tree: str, clock: Callable[[], float]) -> None:
        self._connections = connections
        self._tree = tree
        self._clock = clock
        self._revisions: dict[tuple[str, str], int] = {}

    def arrive(self, arrivals: Sequence[Arrival]) -> list[bool]:
        """See Ledger."""
        refuse_more(arrivals)
        if not arrivals:
            return []

        def work(tx: Transaction) -> set[str]:
            new = arrive(tx, arrivals, self._tree, self._now())
            crash.point("ledger.arriving")
            return new

        new = self._connections.write(work)
        first = {a.file_id: n for n, a in reversed([*enumerate(arrivals)])}
        return [a.file_id in new and first[a.file_id] == n for n, a in enumerate(arrivals)]

    def knows(self, files: Sequence[str]) -> list[bool]:
        """See Ledger. A commit whose answer was lost may still be under way: for such a file one waits until it is decided."""
        refuse_more(files)
        recorded = self._connections.read(lambda db: known(db, files))
        doubted = [file for file in files if file not in recorded]
        if not doubted:
            return [True] * len(files)
        strange = self._connections.probe(lambda tx: unknown(tx, doubted))
        return [file not in strange for file in files]

    def digests(self, files: Sequence[str]) -> list[str]:
        """See Ledger."""
        refuse_more(files)
        recorded = self._connections.read(lambda db: known(db, files))
        return [recorded.get(file, "") for file in files]

    def claim(self, owner: str, limit: int, lease_s: float, *, max_size: int | None = None) -> list[Run]:
        """See Ledger."""
        refuse_limit(limit)
        size = ANY_SIZE if max_size is None else max_size

        def work(tx: Transaction) -> list[Run]:
            now = self._now()
            return lease.claim(tx, owner, limit, now, now + row.micros(lease_s), size)

        return self._connections.write(work)

    def extend(self, leases: Sequence[Lease], lease_s: float) -> list[bool]:
        """See Ledger."""
        refuse_more(leases)
        return self._connections.write(lambda tx: lease.extend(tx, leases, self._now() + row.micros(lease_s)))

    def release(self, leases: Sequence[Lease]) -> list[bool]:
        """See Ledger."""
        refuse_more(leases)
        return self._connections.write(lambda tx: lease.release(tx, leases, self._now()))

    def spawn(self, calls: Sequence[Call]) -> list[list[bool] | None]:
        """See Ledger."""
        refuse_more([each for call in calls for each in call.children])
        if not calls:
            return []
        self._intern({(each.revision, each.pipeline) for call in calls for each in call.children})
        return self._connections.write(lambda tx: child.spawn(tx, calls, self._revisions, self._now()))

    def families(self, calls: Sequence[tuple[str, str]]) -> list[Family]:
        """See Ledger."""
        refuse_more(calls)
        return self._connections.snapshot(lambda db: [child.family(db, run, call) for run, call in calls])

    def settle(self, outcomes: Sequence[Outcome]) -> list[bool]:
        """See Ledger. Raises ValueError, before anything is written, if a state does not go with its status."""
        refuse_more(outcomes)
        outcome.check(outcomes)
        self._intern({(o.revision, o.pipeline) for o in outcomes if o.pipeline})

        def work(tx: Transaction) -> list[bool]:
            answers = settling.settle(tx, outcomes, self._revisions, self._now())
            crash.point("ledger.settling")
            return answers

        return self._connections.write(work)

    def sweep(self, *, owner: str | None = None, crashed: bool = True) -> list[str]:
        """See Ledger."""
        asked = self._now()

        def work(tx: Transaction) -> list[str]:
            now = self._now()
            runs = recover.lost(tx, owner, asked)
            if runs and crashed:
                recover.take_back(tx, runs, "the lease ended" if owner is None else "its owner died", now)
            elif runs:
                lease.give_back(tx, runs, now)
            return [found.id for found in runs]

        return self._connections.write(work)

    def replay(self, files: Sequence[str], *, by: str = "") -> list[bool]:
        """See Ledger."""
        refuse_more(files)
        return self._connections.write(lambda tx: recover.replay(tx, files, by, self._now()))

    def cancel(self, files: Sequence[str], by: str) -> list[bool]:
        """See Ledger."""
        refuse_more(files)
        return self._connections.write(lambda tx: recover.cancel(tx, files, by, self._now()))

    def cancel_children(self) -> list[str]:
        """See Ledger."""
        if not self._connections.read(recover.forsaken):
            return []
        return self._connections.write(lambda tx: recover.cancel_children(tx, self._now()))

    def obsolete_checkpoints(self, *, after: str = "") -> list[Lease]:
        """See Ledger."""
        return self._connections.read(lambda db: recover.obsolete_checkpoints(db, after))

    def drop_checkpoints(self, leases: Sequence[Lease]) -> list[bool]:
        """See Ledger."""
        refuse_more(leases)
        return self._connections.write(lambda tx: recover.drop_checkpoints(tx, leases))

    def register(self, revision: str, pipeline: str, document: str) -> None:
        """See Ledger."""
        self._connections.write(lambda tx: first(tx, _REGISTER, revision, pipeline, document))

    def _intern(self, pairs: Collection[tuple[str, str]]) -> None:
        """Give each (revision, pipeline) its number, in a transaction of its own: a number that is known stays true."""
        new = sorted(pair for pair in pairs if pair not in self._revisions)
        if not new:
            return

        def work(tx: Transaction) -> dict[tuple[str, str], int]:
            tx.execute(_INTERN, columns(new))
            known = rows(tx, "SELECT revision, pipeline, n FROM revision")
            return {(revision, pipeline): n for revision, pipeline, n in known}

        self._revisions = self._connections.write(work)

    def _now(self) -> int:
        return row.micros(self._clock())
