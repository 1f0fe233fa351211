from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import pytest

from rig.waiting import wait_until
from wharfinger.errors import Busy, LedgerError
from wharfinger.ledger.postgres import PostgresDatabase
from wharfinger.ledger.postgres.aside import move_aside
from wharfinger.ledger.postgres.connection import Connections, Transaction, columns, first, locked, rows, shared
from wharfinger.ledger.postgres.schema import migrate

TABLE = "CREATE TABLE t(a integer PRIMARY KEY, b text)"


@pytest.fixture
def table(connections: Connections) -> Connections:
    migrate(connections)
    connections.read(lambda db: db.execute(TABLE))
    return connections


def add(n: int) -> Callable[[Transaction], int]:
    return lambda tx: int(first(tx, "INSERT INTO t VALUES (%s, 'x') RETURNING a", n)[0])


def found(connections: Connections) -> list[int]:
    return [n for (n,) in connections.read(lambda db: rows(db, "SELECT a FROM t ORDER BY a"))]


def end_all(url: str) -> None:
    """Every other session ends, whatever it does."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'wharfinger'")


def test_every_commit_is_synced(url: str) -> None:
    careless = Connections(url + "%20-csynchronous_commit%3Doff", 1)
    assert careless.read(lambda db: first(db, "SHOW synchronous_commit")) == ("on",)
    careless.close()


def test_a_session_that_the_server_ends_because_it_is_idle_is_replaced(url: str) -> None:
    connections = Connections(url + "%20-cidle_session_timeout%3D200ms", 1)
    pid = connections.read(lambda db: db.info.backend_pid)

    def is_gone() -> bool:
        with psycopg.connect(url) as db:
            return not rows(db, "SELECT 1 FROM pg_stat_activity WHERE pid = %s", pid)

    wait_until("the server has ended it", is_gone, seconds=10)
    assert connections.read(lambda db: first(db, "SELECT 1")) == (1,)
    connections.close()


def test_what_raises_leaves_no_trace(table: Connections) -> None:
    def work(tx: Transaction) -> None:
        add(1)(tx)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        table.write(work)
    assert found(table) == []
    assert table.write(add(1)) == 1


def test_a_statement_that_fails_unseen_fails_the_transaction(table: Connections) -> None:
    def work(tx: Transaction) -> None:
        add(1)(tx)
        tx.execute("INSERT INTO t VALUES (2, 1/(1 - length('x')))")

    with pytest.raises(LedgerError, match="division by zero"):
        table.write(work)
    assert found(table) == []


def test_a_probe_is_undone(table: Connections) -> None:
    assert table.probe(add(1)) == 1
    assert found(table) == []


def test_a_snapshot_sees_one_commit(table: Connections, url: str) -> None:
    other = Connections(url, 5)

    def work(db: Transaction) -> list[object]:
        before = rows(db, "SELECT a FROM t")
        other.write(add(1))
        return [before, rows(db, "SELECT a FROM t")]

    assert table.snapshot(work) == [[], []]
    assert found(table) == [1]
    other.close()


def test_a_session_that_was_ended_while_it_was_idle_is_not_noticed(table: Connections, url: str) -> None:
    table.write(add(1))
    end_all(url)
    assert table.write(add(2)) == 2
    end_all(url)
    assert found(table) == [1, 2]


def test_a_session_that_is_ended_before_its_commit_is_begun_again(table: Connections, url: str) -> None:
    tries = []

    def work(tx: Transaction) -> None:
        tries.append(add(1)(tx))
        if len(tries) == 1:
            end_all(url)
        first(tx, "SELECT 1")

    table.write(work)
    assert (len(tries), found(table)) == (2, [1])


def test_a_deadlock_is_begun_again(url: str, table: Connections) -> None:
    patient = [Connections(url, 20) for _ in range(2)]
    table.write(add(1))
    table.write(add(2))
    met = threading.Barrier(2)
    tries: list[int] = []

    def cross(one: int, other: int) -> Callable[[Transaction], None]:
        def work(tx: Transaction) -> None:
            first(tx, "UPDATE t SET b = b || 'y' WHERE a = %s RETURNING a", one)
            tries.append(one)
            if len(tries) <= 2:
                met.wait(10)
            first(tx, "UPDATE t SET b = b || 'y' WHERE a = %s RETURNING a", other)

        return work

    threads = [
        threading.Thread(target=patient[n].write, args=(cross(*pair),)) for n, pair in enumerate([(1, 2), (2, 1)])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(tries) == 3
    assert table.read(lambda db: rows(db, "SELECT b FROM t")) == [("xyy",), ("xyy",)]
    for each in patient:
        each.close()


def test_who_waits_too_long_for_a_lock_is_told_so(table: Connections, url: str) -> None:
    table.write(add(1))
    with psycopg.connect(url) as other:
        other.execute("UPDATE t SET b = 'z'")
        with pytest.raises(Busy, match="held the ledger") as refusal:
            table.write(lambda tx: first(tx, "UPDATE t SET b = 'y' RETURNING a"))
    assert "pg_stat_activity" in refusal.value.fix


def test_names_are_locked_until_the_end(table: Connections, url: str) -> None:
    other = Connections(url, 0.3)

    def work(tx: Transaction) -> None:
        shared(tx, "one")
        first(tx, "SELECT 1")
        other.write(lambda tx: (shared(tx, "one"), locked(tx, "two"), first(tx, "SELECT 1")))
        with pytest.raises(Busy):
            other.write(lambda tx: (locked(tx, "two", "one"), first(tx, "SELECT 1")))

    table.write(work)
    other.write(lambda tx: (locked(tx, "one"), first(tx, "SELECT 1")))
    other.close()


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(LedgerError) as refusal:
        PostgresDatabase("postgresql://wharf@127.0.0.1:1/wharf")
    assert (refusal.value.code, "127.0.0.1:1" in str(refusal.value)) == ("LEDGER_UNREACHABLE", True)
    assert "PGPASSWORD" in refusal.value.fix


def test_the_password_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    with pytest.raises(LedgerError) as refusal:
        PostgresDatabase("postgresql://wharf@127.0.0.1:1/wharf")
    assert "s3cret" not in f"{refusal.value!r} {refusal.value.__cause__!r}"


def test_after_close_a_database_opens_again(url: str) -> None:
    database = PostgresDatabase(url)
    database.close()
    assert database.accounts.users() == []
    wait_until("no session is left", lambda: move_aside(url))


def test_columns_are_rows_turned() -> None:
    assert columns([(1, "a"), (2, "b")]) == [[1, 2], ["a", "b"]]
