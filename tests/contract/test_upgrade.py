"""A ledger of each earlier version is upgraded while files are leased: whoever holds one goes on, and what nobody holds comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
import psycopg
import pytest
from psycopg import sql

from rig import postgres
from rig.databases import DATABASES, Clock, arrived, claimed, lease, transferred
from wharfinger.ledger import Database, chain
from wharfinger.ledger.postgres import schema as on_postgres
from wharfinger.ledger.postgres.connection import Connections as ToPostgres
from wharfinger.ledger.sqlite import schema as on_sqlite
from wharfinger.ledger.sqlite.connection import Connections as ToSqlite
from wharfinger.model import Run, Status

Take = Callable[[Path, Path, int], None]


def take_sqlite(new: Path, old: Path, version: int) -> None:
    """Make `old` a ledger of this version, with what the ledger in `new` has of it."""
    old.mkdir()
    on_sqlite.migrate(ToSqlite(str(old / "ledger.db"), 5), on_sqlite.STEPS[:version])
    db = apsw.Connection(str(old / "ledger.db"))
    db.execute("ATTACH ? AS new", (str(new / "ledger.db"),))
    for (table,) in db.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall():
        there, here = (
            [name for (name,) in db.execute("SELECT name FROM pragma_table_info(?, ?)", (table, where))]
            for where in ("new", "main")
        )
        columns = ", ".join(f'"{name}"' for name in here if name in there)
        db.execute(f"INSERT INTO main.{table}({columns}) SELECT {columns} FROM new.{table}")
    db.close()


def take_postgres(new: Path, old: Path, version: int) -> None:
    """Likewise."""
    url = postgres.schema(old)
    connections = ToPostgres(url, 5)
    on_postgres.migrate(connections, on_postgres.STEPS[:version])
    connections.close()
    source, target = (postgres.schema(each).rpartition("%3D")[2] for each in (new, old))
    with psycopg.connect(url, autocommit=True) as db:
        for (table,) in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (target,)).fetchall():
            if table in ("migration", "life"):
                continue
            found = db.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND table_schema = %s "
                "INTERSECT SELECT column_name FROM information_schema.columns WHERE table_name = %s AND table_schema = %s",
                (table, target, table, source),
            ).fetchall()
            columns = sql.SQL(", ").join(sql.Identifier(name) for (name,) in found)
            copy = sql.SQL("INSERT INTO {}.{}({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}.{}")
            names = [sql.Identifier(name) for name in (target, table, source)]
            db.execute(copy.format(names[0], names[1], columns, columns, names[2], names[1]))


BACKENDS: dict[str, tuple[Sequence[str], Take]] = {
    "sqlite": (on_sqlite.STEPS, take_sqlite),
    "postgres": (on_postgres.STEPS, take_postgres),
}


@pytest.mark.parametrize(
    ("backend", "version"), [(name, n) for name, (steps, _) in BACKENDS.items() for n in range(1, len(steps))]
)
def test_leases_outlive_an_upgrade(backend: str, version: int, tmp_path: Path) -> None:
    clock = Clock()
    before = DATABASES[backend](tmp_path / "new", clock=clock)
    arrived(before.ledger, 3)
    held, lost = claimed(before.ledger, owner="ann"), claimed(before.ledger, owner="bob")
    before.close()
    BACKENDS[backend][1](tmp_path / "new", tmp_path / "old", version)
    database = DATABASES[backend](tmp_path / "old", clock=clock)
    check_goes_on(database, clock, held, lost)
    database.close()


def check_goes_on(database: Database, clock: Clock, held: Run, lost: Run) -> None:
    clock.forward(20)
    assert database.ledger.extend([lease(held)], 30) == [True]
    clock.forward(20)
    assert database.ledger.sweep() == [lost.id]
    assert database.ledger.settle([transferred(held), transferred(lost)]) == [True, False]
    assert {run.id for run in (claimed(database.ledger), claimed(database.ledger))} >= {lost.id}
    record = database.catalog.file(held.id)
    assert record is not None
    assert record.status is Status.TRANSFERRED
    assert chain.verify(database.catalog.events(held.id)) == []
    assert sum(database.catalog.counts().files.values()) == 3
