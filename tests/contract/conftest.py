"""Fixtures of the ledger's suites: each runs on every backend in `databases.DATABASES`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rig import postgres
from rig.databases import DATABASES, Clock
from wharfinger.ledger import Accounts, Catalog, Database, Gates, Ledger, Namespace, Purges


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=DATABASES)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        postgres.schema(tmp_path)  # the server is this process's, not that of one which a test kills
    return str(request.param)


@pytest.fixture
def open_database(backend: str, tmp_path: Path, clock: Clock) -> Iterator[Callable[[], Database]]:
    """Opens the same database again, as another process would."""
    opened: list[Database] = []

    def open_one() -> Database:
        opened.append(DATABASES[backend](tmp_path, clock=clock))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()


@pytest.fixture
def database(open_database: Callable[[], Database]) -> Database:
    return open_database()


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return database.ledger


@pytest.fixture
def gates(database: Database) -> Gates:
    return database.gates


@pytest.fixture
def purges(database: Database) -> Purges:
    return database.purges


@pytest.fixture
def catalog(database: Database) -> Catalog:
    return database.catalog


@pytest.fixture
def namespace(database: Database) -> Namespace:
    return database.namespace


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return database.accounts
