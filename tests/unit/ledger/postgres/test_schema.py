from __future__ import annotations

import threading

import psycopg
import pytest

from rig import postgres
from rig.databases import arrived, claimed, transferred
from wharfinger.errors import Incompatible, LedgerError
from wharfinger.ledger import chain
from wharfinger.ledger.postgres import PostgresDatabase, schema
from wharfinger.ledger.postgres.connection import Connections, first, rows

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"


def tables(connections: Connections) -> list[str]:
    return [name for (name,) in connections.read(lambda db: rows(db, TABLES)) if name != "migration"]


def test_a_new_database_gets_every_step(connections: Connections) -> None:
    schema.migrate(connections, ["CREATE TABLE a(x text)", "CREATE TABLE b(x text)"])
    assert tables(connections) == ["a", "b"]
    assert connections.read(schema.version) == 2


def test_a_ledger_of_version_1_is_upgraded_with_its_leased_rows(connections: Connections, url: str) -> None:
    old = PostgresDatabase(url)
    arrived(old.ledger, 2)
    run = claimed(old.ledger)
    old.close()
    added = "ALTER TABLE run ADD COLUMN later text; CREATE TABLE later(x text);"
    schema.migrate(connections, [*schema.STEPS, added])
    sql = "SELECT state, token, later FROM run WHERE id = %s"
    assert connections.read(lambda db: rows(db, sql, run.id)) == [("leased", 1, None)]
    assert connections.read(schema.version) == len(schema.STEPS) + 1


def test_what_children_of_an_earlier_version_delivered_is_counted(connections: Connections) -> None:
    schema.migrate(connections, schema.STEPS[:10])
    sql = """
    INSERT INTO run(id, at, size, state, status, lane, rank, parent, output) VALUES
      ('0', 0, 0, 'done', '', 0, 0, 'A', '[{"key":"a"},{"key":"b"}]'), ('1', 0, 0, 'done', '', 0, 0, 'A', NULL),
      ('2', 0, 0, 'done', '', 0, 0, NULL, NULL)
    """
    connections.read(lambda db: db.execute(sql))
    schema.migrate(connections)
    assert connections.read(lambda db: rows(db, "SELECT delivered FROM run ORDER BY id")) == [(2,), (0,), (0,)]


def test_a_step_is_done_once(connections: Connections) -> None:
    schema.migrate(connections, ["CREATE TABLE a(x text)"])
    schema.migrate(connections, ["CREATE TABLE a(x text)"])
    schema.migrate(connections, ["CREATE TABLE a(x text)", "CREATE TABLE b(x text)"])
    assert connections.read(schema.version) == 2


def test_steps_that_fail_leave_the_old_version(connections: Connections) -> None:
    schema.migrate(connections, ["CREATE TABLE a(x text)"])
    with pytest.raises(LedgerError):
        schema.migrate(connections, ["CREATE TABLE a(x text)", "CREATE TABLE b(x text)", "nonsense"])
    assert tables(connections) == ["a"]
    assert connections.read(schema.version) == 1


def test_a_ledger_of_a_newer_version_is_refused_with_the_cure(connections: Connections, url: str) -> None:
    schema.migrate(connections, [*schema.STEPS, "CREATE TABLE later(x text)"])
    with pytest.raises(Incompatible, match=f"has version {len(schema.STEPS) + 1}") as refusal:
        PostgresDatabase(url)
    assert "newer" in refusal.value.fix


def test_many_who_open_at_once_migrate_once(url: str) -> None:
    problems: list[Exception] = []

    def work() -> None:
        try:
            database = PostgresDatabase(url, patience_s=30)
            arrived(database.ledger)
            database.close()
        except Exception as exc:
            problems.append(exc)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    database = PostgresDatabase(url)
    assert len(database.ledger.claim("worker", 100, 30)) == 8
    database.close()


def test_a_schema_that_is_not_there_is_named(url: str) -> None:
    with pytest.raises(Incompatible, match="search_path") as refusal:
        PostgresDatabase(f"{postgres.shared()}?options=-csearch_path%3Dnowhere")
    assert "CREATE SCHEMA" in refusal.value.fix


def test_another_encoding_is_refused() -> None:
    with psycopg.connect(postgres.shared(), autocommit=True) as db:
        db.execute("DROP DATABASE IF EXISTS ascii")
        db.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
    with pytest.raises(Incompatible, match="SQL_ASCII"):
        PostgresDatabase(postgres.shared().replace("/postgres", "/ascii"))


def test_the_history_of_a_file_is_found_changed_when_its_row_is_edited(connections: Connections, url: str) -> None:
    database = PostgresDatabase(url)
    [arrival] = arrived(database.ledger)
    database.ledger.settle([transferred(claimed(database.ledger))])
    assert chain.verify(database.catalog.events(arrival.file_id)) == []
    connections.write(lambda tx: first(tx, "UPDATE file SET size = size + 1 RETURNING size"))
    assert chain.verify(database.catalog.events(arrival.file_id)) != []
    database.close()
