"""One SQLite file with all ports over it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import apsw

from wharfinger.ledger.sqlite.accounts import SqliteAccounts
from wharfinger.ledger.sqlite.audit import SqliteAudit
from wharfinger.ledger.sqlite.catalog import SqliteCatalog
from wharfinger.ledger.sqlite.connection import Connections
from wharfinger.ledger.sqlite.gate import SqliteGates
from wharfinger.ledger.sqlite.namespace import SqliteNamespace
from wharfinger.ledger.sqlite.purge import SqlitePurges
from wharfinger.ledger.sqlite.queue import SqliteLedger
from wharfinger.ledger.sqlite.schema import migrate


class SqliteDatabase:
    """
    The database at `path`, made or brought up to date on opening. Arrivals in bucket `tree` appear in the customers' tree.
    `clock` gives epoch seconds; a writer that cannot begin within `patience_s` raises Busy. Each process opens its own.
    """

    def __init__(
        self, path: str | Path, *, tree: str = "inbox", clock: Callable[[], float] = time.time, patience_s: float = 10.0
    ) -> None:
        self.engine = f"SQLite {apsw.sqlite_lib_version()}"
        self._connections = Connections(str(path), patience_s)
        migrate(self._connections)
        self.ledger = SqliteLedger(self._connections, tree=tree, clock=clock)
        self.gates = SqliteGates(self._connections, clock)
        self.purges = SqlitePurges(self._connections, clock)
        self.catalog = SqliteCatalog(self._connections)
        self.namespace = SqliteNamespace(self._connections, clock)
        self.accounts = SqliteAccounts(self._connections)
        self.audit = SqliteAudit(self._connections, clock)

    def ahead_s(self) -> float:
        """See Database."""
        return 0.0

    def close(self) -> None:
        """See Database."""
        self._connections.close()
