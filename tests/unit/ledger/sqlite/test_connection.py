from __future__ import annotations

import stat
import threading
from pathlib import Path

import apsw
import pytest

from wharfinger.errors import Busy, Incompatible, LedgerError
from wharfinger.ledger.sqlite import SqliteDatabase, connection
from wharfinger.ledger.sqlite.connection import Connections, first, insert, rows


@pytest.fixture
def connections(tmp_path: Path) -> Connections:
    opened = Connections(str(tmp_path / "a.db"), 0.05)
    with opened.writing() as tx:
        tx.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)")
    return opened


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2"])
def test_an_old_library_is_refused_with_the_cure(version: str) -> None:
    with pytest.raises(Incompatible, match=version) as refusal:
        connection.refuse_old(version)
    assert refusal.value.fix == "pip install --upgrade apsw"


@pytest.mark.parametrize("version", ["3.51.3", "3.52.0", "4.0.0"])
def test_a_new_library_is_taken(version: str) -> None:
    connection.refuse_old(version)


def test_every_commit_is_synced(connections: Connections) -> None:
    with connections.reading() as db:
        assert (db.pragma("synchronous"), db.pragma("journal_mode")) == (2, "wal")


def test_a_sync_reaches_beyond_the_cache_of_a_macs_drive(connections: Connections) -> None:
    with connections.reading() as db:
        assert db.pragma("fullfsync") == 1


def test_others_may_not_read_the_file(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "new" / "ledger.db")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert modes == {0o600}
    database.close()


def test_a_block_that_raises_leaves_no_trace(connections: Connections) -> None:
    with pytest.raises(LedgerError), connections.writing() as tx:
        tx.executemany("INSERT INTO t VALUES (?, 'x')", [(1,), (1,)])
    with connections.reading() as db:
        assert rows(db, "SELECT * FROM t") == []
    with connections.writing() as tx:
        tx.execute("INSERT INTO t VALUES (1, 'y')")


def test_a_writer_that_waits_too_long_for_another_process_is_told_so(connections: Connections) -> None:
    other = Connections(connections.path, 0.05)
    with connections.writing():
        with pytest.raises(Busy) as refusal, other.writing():
            pass
        with other.reading() as db:
            assert rows(db, "SELECT * FROM t") == []
    assert refusal.value.fix
    with other.writing() as tx:
        tx.execute("INSERT INTO t VALUES (1, 'x')")


def test_a_writer_that_waits_too_long_for_another_thread_is_told_so(connections: Connections) -> None:
    refused = threading.Event()

    def write() -> None:
        try:
            with connections.writing():
                pass
        except Busy:
            refused.set()

    with connections.writing():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert refused.is_set()


def test_a_writer_waits_for_another_to_end(tmp_path: Path, connections: Connections) -> None:
    other = Connections(connections.path, 30)
    begun = threading.Event()

    def write() -> None:
        begun.set()
        with other.writing() as tx:
            tx.execute("INSERT INTO t VALUES (2, 'other')")

    with connections.writing() as tx:
        thread = threading.Thread(target=write)
        thread.start()
        assert begun.wait(10)
        tx.execute("INSERT INTO t VALUES (1, 'first')")
    thread.join()
    with connections.reading() as db:
        assert rows(db, "SELECT a FROM t ORDER BY a") == [(1,), (2,)]


def test_a_storm_of_writers_ends_with_every_write(connections: Connections) -> None:
    def write(n: int) -> None:
        mine = Connections(connections.path, 30)
        for i in range(20):
            with mine.writing() as tx:
                tx.execute("INSERT INTO t VALUES (?, 'x')", (n * 100 + i,))
        mine.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with connections.reading() as db:
        assert first(db, "SELECT count(*) FROM t") == (160,)


def test_a_snapshot_sees_one_commit(connections: Connections) -> None:
    other = Connections(connections.path, 5)
    with connections.snapshot() as db:
        assert rows(db, "SELECT * FROM t") == []
        with other.writing() as tx:
            tx.execute("INSERT INTO t VALUES (1, 'x')")
        assert rows(db, "SELECT * FROM t") == []
    with connections.reading() as db:
        assert rows(db, "SELECT * FROM t") == [(1, "x")]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 63, 64, 100, 129, 40_000])
def test_any_number_of_rows_is_inserted_in_order(connections: Connections, n: int) -> None:
    wanted = [(i, str(i)) for i in range(n)]
    with connections.writing() as tx:
        insert(tx, "t(a, b)", wanted)
        assert rows(tx, "SELECT a, b FROM t ORDER BY a") == wanted


def test_a_full_disk_is_named(connections: Connections) -> None:
    with connections.reading() as db:
        db.execute("PRAGMA max_page_count = 3")
    with pytest.raises(LedgerError) as refusal, connections.writing() as tx:
        tx.execute("INSERT INTO t VALUES (1, ?)", ("x" * 100_000,))
    assert refusal.value.code == "NO_SPACE"
    with connections.writing() as tx:
        tx.execute("INSERT INTO t VALUES (1, 'x')")


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("hello\n" * 1000)
    with pytest.raises(LedgerError) as refusal:
        SqliteDatabase(tmp_path / "a.db")
    assert (refusal.value.code, bool(refusal.value.fix)) == ("LEDGER_CORRUPT", True)


def test_a_file_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"file/ledger\.db"):
        SqliteDatabase(tmp_path / "file" / "ledger.db")


def test_after_close_a_database_opens_again(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db")
    thread = threading.Thread(target=database.accounts.users)
    thread.start()
    thread.join()
    database.close()
    assert not (tmp_path / "a.db-wal").exists()
    assert database.accounts.users() == []
    database.close()


def test_the_library_in_use_is_new_enough() -> None:
    connection.refuse_old(apsw.sqlite_lib_version())
