"""One Postgres database (one schema of it) with all ports over it."""

from __future__ import annotations

import time
from collections.abc import Callable

from wharfinger.ledger.postgres.accounts import PostgresAccounts
from wharfinger.ledger.postgres.audit import PostgresAudit
from wharfinger.ledger.postgres.catalog import PostgresCatalog
from wharfinger.ledger.postgres.connection import Connections, first, server_version
from wharfinger.ledger.postgres.gate import PostgresGates
from wharfinger.ledger.postgres.namespace import PostgresNamespace
from wharfinger.ledger.postgres.purge import PostgresPurges
from wharfinger.ledger.postgres.queue import PostgresLedger
from wharfinger.ledger.postgres.schema import migrate


class PostgresDatabase:
    """
    The database at `url`, whose tables are made or brought up to date on opening. Arrivals in bucket `tree` appear in the
    customers' tree. `clock` gives epoch seconds; a verb that cannot be done within `patience_s` raises Busy. Each process opens its own.
    """

    def __init__(
        self, url: str, *, tree: str = "inbox", clock: Callable[[], float] = time.time, patience_s: float = 10.0
    ) -> None:
        self._connections, self._clock = Connections(url, patience_s), clock
        migrate(self._connections)
        self.engine = f"Postgres {self._connections.read(server_version)}"
        self.ledger = PostgresLedger(self._connections, tree=tree, clock=clock)
        self.gates = PostgresGates(self._connections, clock)
        self.purges = PostgresPurges(self._connections, clock)
        self.catalog = PostgresCatalog(self._connections)
        self.namespace = PostgresNamespace(self._connections, clock)
        self.accounts = PostgresAccounts(self._connections)
        self.audit = PostgresAudit(self._connections, clock)

    def ahead_s(self) -> float:
        """See Database. Half of the way there and back is taken for the way there."""
        asked = self._clock()
        said: float = self._connections.read(
            lambda db: first(db, "SELECT extract(epoch FROM clock_timestamp())::float8")
        )[0]
        return said - (asked + self._clock()) / 2

    def close(self) -> None:
        """See Database."""
        self._connections.close()
