from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rig.databases import arrived, claimed, transferred
from wharfinger.errors import Incompatible, LedgerError
from wharfinger.ledger import chain
from wharfinger.ledger.sqlite import SqliteDatabase, schema
from wharfinger.ledger.sqlite.connection import Connections, rows

TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"


def connect(tmp_path: Path) -> Connections:
    return Connections(str(tmp_path / "ledger.db"), 5)


def version(connections: Connections) -> int:
    with connections.reading() as db:
        return int(db.pragma("user_version"))


def test_a_new_file_gets_every_step(tmp_path: Path) -> None:
    connections = connect(tmp_path)
    schema.migrate(connections, ["CREATE TABLE a(x)", "CREATE TABLE b(x)"])
    with connections.reading() as db:
        assert rows(db, TABLES) == [("a",), ("b",)]
    assert version(connections) == 2


def test_a_ledger_of_version_1_is_upgraded_with_its_leased_rows(tmp_path: Path) -> None:
    old = SqliteDatabase(tmp_path / "ledger.db")
    arrived(old.ledger, 2)
    run = claimed(old.ledger)
    old.close()
    added = "ALTER TABLE run ADD COLUMN later TEXT; CREATE TABLE later(x);"
    schema.migrate(connect(tmp_path), [*schema.STEPS, added])
    with connect(tmp_path).reading() as db:
        assert rows(db, "SELECT state, token, later FROM run WHERE id = ?", run.id) == [("leased", 1, None)]
        assert db.pragma("user_version") == len(schema.STEPS) + 1


def test_what_children_of_an_earlier_version_delivered_is_counted(tmp_path: Path) -> None:
    connections = connect(tmp_path)
    schema.migrate(connections, schema.STEPS[:11])
    with connections.writing() as tx:
        for n, (parent, output) in enumerate([("A", '[{"key":"a"},{"key":"b"}]'), ("A", None), (None, None)]):
            sql = "INSERT INTO run(id, at, size, state, status, lane, rank, parent, output) VALUES (?, 0, 0, 'done', '', 0, 0, ?, ?)"
            tx.execute(sql, (str(n), parent, output))
    schema.migrate(connections)
    with connections.reading() as db:
        assert rows(db, "SELECT delivered FROM run ORDER BY id") == [(2,), (0,), (0,)]


def test_a_step_is_done_once(tmp_path: Path) -> None:
    connections = connect(tmp_path)
    schema.migrate(connections, ["CREATE TABLE a(x)"])
    schema.migrate(connections, ["CREATE TABLE a(x)"])
    schema.migrate(connections, ["CREATE TABLE a(x)", "CREATE TABLE b(x)"])
    assert version(connections) == 2


def test_steps_that_fail_leave_the_old_version(tmp_path: Path) -> None:
    connections = connect(tmp_path)
    schema.migrate(connections, ["CREATE TABLE a(x)"])
    with pytest.raises(LedgerError):
        schema.migrate(connections, ["CREATE TABLE a(x)", "CREATE TABLE b(x)", "nonsense"])
    with connections.reading() as db:
        assert rows(db, TABLES) == [("a",)]
    assert version(connections) == 1


def test_a_ledger_of_a_newer_version_is_refused_with_the_cure(tmp_path: Path) -> None:
    newer = connect(tmp_path)
    schema.migrate(newer, [*schema.STEPS, "CREATE TABLE later(x)"])
    with pytest.raises(Incompatible, match=f"has version {len(schema.STEPS) + 1}") as refusal:
        SqliteDatabase(tmp_path / "ledger.db")
    assert "newer" in refusal.value.fix


def test_many_who_open_at_once_migrate_once(tmp_path: Path) -> None:
    problems: list[Exception] = []

    def work() -> None:
        try:
            database = SqliteDatabase(tmp_path / "ledger.db", patience_s=30)
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
    database = SqliteDatabase(tmp_path / "ledger.db")
    assert len(database.ledger.claim("worker", 100, 30)) == 8
    database.close()


def test_the_history_of_a_file_is_found_changed_when_its_row_is_edited(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "ledger.db")
    [arrival] = arrived(database.ledger)
    database.ledger.settle([transferred(claimed(database.ledger))])
    assert chain.verify(database.catalog.events(arrival.file_id)) == []
    with connect(tmp_path).writing() as tx:
        tx.execute("UPDATE file SET size = size + 1")
    assert chain.verify(database.catalog.events(arrival.file_id)) != []
    database.close()
