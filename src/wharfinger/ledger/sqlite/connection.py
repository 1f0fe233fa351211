"""Connections to one SQLite file: one a thread, short transactions, patience with other writers."""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import apsw
import orjson

from wharfinger.errors import Busy, Incompatible, LedgerError
from wharfinger.store import disk

SQLITE_NEEDED = (3, 51, 3)
"""Older libraries can corrupt a WAL that several processes write (sqlite.org/wal.html, "The WAL-Reset Bug")."""

PRAGMAS = """
PRAGMA synchronous = FULL;
PRAGMA fullfsync = ON;  -- macOS: its fsync leaves the bytes in the drive's cache; elsewhere without effect
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -16384;
PRAGMA wal_autocheckpoint = 4096;
PRAGMA journal_size_limit = 67108864;
"""

PAGE_SIZE = 4096  # bytes

MOST_ROWS = 64
"""Rows of one INSERT: SQLite binds at most 32,766 values (sqlite.org/limits.html)."""


class Connections:
    """
    Access to the database at `path` from every thread of this process. Writers of one process queue for a lock; writers of
    several poll, with jitter, for at most `patience_s`, then raise Busy. Readers never wait for writers, nor they for readers.
    """

    def __init__(self, path: str, patience_s: float) -> None:
        refuse_old(apsw.sqlite_lib_version())
        self.path = path
        self._patience_s = patience_s
        self._turn = threading.Lock()
        self._local = threading.local()
        self._open: weakref.WeakSet[apsw.Connection] = weakref.WeakSet()
        _create_private(path)

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """This thread's connection. Every statement sees the last commit."""
        try:
            yield self._connection()
        except apsw.Error as exc:
            raise self._translated(exc) from exc

    @contextmanager
    def snapshot(self) -> Iterator[apsw.Connection]:
        """This thread's connection in a transaction: all statements see the same commit."""
        with self.reading() as db:
            yield from _transaction(db, "BEGIN")

    @contextmanager
    def writing(self) -> Iterator[apsw.Connection]:
        """A transaction that is durable when the block has ended, and leaves no trace if it raises."""
        if not self._turn.acquire(timeout=self._patience_s):
            raise self._busy()
        try:
            with self.reading() as db:
                yield from _transaction(db, "BEGIN IMMEDIATE")
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in list(self._open):
            connection.close()
        self._local = threading.local()

    def _connection(self) -> apsw.Connection:
        db: apsw.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = self._connect()
            self._open.add(db)
        return db

    def _connect(self) -> apsw.Connection:
        db = apsw.Connection(self.path, statementcachesize=256)
        db.set_busy_handler(jittered(self._patience_s))
        db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        _enter_wal(db, self._patience_s)
        db.execute(PRAGMAS)
        # Else SQLite (STAT4 is compiled in) plans a cached statement anew each time other values are bound to it.
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        return db

    def _busy(self) -> Busy:
        return Busy(
            f"{self.path}: another writer has held the ledger for over {self._patience_s:g} s",
            fix="try again; if it lasts, look for a process that was stopped with the file open",
        )

    def _translated(self, exc: apsw.Error) -> LedgerError:
        if isinstance(exc, apsw.BusyError):
            return self._busy()
        if isinstance(exc, apsw.FullError):
            return LedgerError(f"{self.path}: no space left for the ledger", code="NO_SPACE", fix="free some space")
        if isinstance(exc, (apsw.CorruptError, apsw.NotADBError)):
            return LedgerError(f"{self.path}: {exc}", code="LEDGER_CORRUPT", fix="move it away and rebuild the ledger")
        return LedgerError(f"{self.path}: {exc}")


def refuse_old(version: str) -> None:
    """Raise Incompatible if the SQLite library of this `version` ("3.40.1") must not write with others."""
    if tuple(map(int, version.split("."))) < SQLITE_NEEDED:
        needed = ".".join(map(str, SQLITE_NEEDED))
        raise Incompatible(f"SQLite {version} is too old; {needed} is needed", fix="pip install --upgrade apsw")


def jittered(patience_s: float) -> Callable[[int], bool]:
    """SQLite's busy handler: wait a little at random, so that waiting writers do not meet again; give up in the end."""
    began = 0.0

    def wait(prior: int) -> bool:
        nonlocal began
        if prior == 0:
            began = time.monotonic()
        elif time.monotonic() - began > patience_s:
            return False
        time.sleep(random.uniform(0, 0.0002 * min(prior + 1, 10)))  # noqa: S311
        return True

    return wait


def rows(db: apsw.Connection, sql: str, *values: Any) -> list[Any]:
    """All rows, as tuples."""
    return db.execute(sql, values).fetchall()


def first(db: apsw.Connection, sql: str, *values: Any) -> Any:
    """The first row, or None."""
    return db.execute(sql, values).fetchone()


def insert(db: apsw.Connection, into: str, values: Sequence[Sequence[Any]], *, conflict: str = "") -> None:
    """
    `INSERT INTO {into} VALUES ...` for all rows in few statements. Between two statements another thread may take the
    interpreter for milliseconds; a row each would make a batch wait for that as often as it has rows.
    """
    done = 0
    while left := len(values) - done:
        n = min(MOST_ROWS, 1 << (left.bit_length() - 1))  # powers of two, so that few statements are ever prepared
        flat = [value for row in values[done : done + n] for value in row]
        db.execute(_insert(into, len(values[0]), n, conflict), flat)
        done += n


@lru_cache(maxsize=256)
def _insert(into: str, width: int, rows: int, conflict: str) -> str:
    row = f"({','.join('?' * width)})"
    return f"INSERT INTO {into} VALUES {','.join([row] * rows)} {conflict}"


def many(values: Sequence[str]) -> str:
    """The list as SQL sees it: `IN (SELECT value FROM json_each(?))`."""
    return orjson.dumps(list(values)).decode()


def _transaction(db: apsw.Connection, begin: str) -> Iterator[apsw.Connection]:
    db.execute(begin)
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _enter_wal(db: apsw.Connection, patience_s: float) -> None:
    """SQLite does not call the busy handler for this one."""
    began = time.monotonic()
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except apsw.BusyError:
            if time.monotonic() - began > patience_s:
                raise
            time.sleep(random.uniform(0, 0.002))  # noqa: S311


def _create_private(path: str) -> None:
    """
    The file holds password hashes: others may not read it. SQLite gives its companions the same mode, and makes the name of the
    file durable with that of its WAL.
    """
    try:
        disk.make_missing(str(Path(path).parent))
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise LedgerError(f"{path}: {exc.strerror}", fix="name a file that may be written as the ledger") from exc
