"""Connections to one Postgres database: one for as long as a verb lasts, short transactions, patience with others."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

import psycopg
from psycopg.types.numeric import Int8Dumper

from wharfinger.errors import Busy, Incompatible, LedgerError, LostAnswer
from wharfinger.ledger.postgres import url as urls

Transaction = psycopg.Connection[tuple[Any, ...]]
T = TypeVar("T")

NEEDED = 140_000
"""The oldest server, as libpq counts: 14."""

SETTINGS = """
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
SET plan_cache_mode = force_generic_plan; SET jit = off;
SET idle_in_transaction_session_timeout = '30s';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
SELECT pg_advisory_lock_shared(hashtextextended(current_schema() || '/open', 0));
DO $$ BEGIN IF to_regclass('life') IS NOT NULL AND NOT pg_is_in_recovery() THEN
  INSERT INTO life(id) VALUES (gen_random_uuid()) ON CONFLICT DO NOTHING; END IF; END $$;
"""
"""
Every statement here has one right plan, by index and row by row: what the planner knows of a table that was empty a minute ago must
not choose another. A process that was stopped within a transaction loses it, and its row locks.
Who connects first after a crash begins a new life of the server (see Number).
"""

Number = tuple[str | None, str]
"""A life of the server, from one crash to the next, and the number of a transaction in it: a crash may give numbers away again."""

_NUMBER = "SELECT (SELECT id::text FROM life), pg_current_xact_id()::text"
_STATUS = "SELECT CASE WHEN (SELECT id::text FROM life) = %s THEN pg_xact_status(%s::xid8) END"

RETRIED = {"40001", "40P01", "23505"}
"""Serialization failure, deadlock, and a row that another transaction has just added: the same once more ends otherwise."""

LOST = {"57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "53300"}
"""
The session was ended, the server crashed, is starting, ended a session or a transaction that was idle, or a transaction that took
too long, or has no connection left; 08 is class.
"""

logging.getLogger("psycopg").setLevel(logging.ERROR)  # what it warns of is raised, too


class Connections:
    """
    Access to the database at `url` from every thread of this process. What meets a deadlock, or loses its connection before the
    commit, is done again for at most `patience_s`, and so long anybody waits for a lock; then Busy is raised.
    """

    def __init__(self, url: str, patience_s: float) -> None:
        self._arguments = urls.read(url)
        self.name = urls.name(self._arguments)
        self._patience_s = patience_s
        self._idle: deque[Transaction] = deque()
        self._was_open = self._is_closed = False

    def read(self, work: Callable[[Transaction], T]) -> T:
        """What `work` answers. Every statement of it sees the last commit."""
        return self._try(partial(self._once, work))

    def snapshot(self, work: Callable[[Transaction], T]) -> T:
        """What `work` answers. All its statements see the same commit."""
        return self._try(partial(self._once, partial(_seen_at_once, work)))

    def write(self, work: Callable[[Transaction], T]) -> T:
        """
        What `work` answers, once all it did is durable; it leaves no trace if it raises, and may be done several times. Where the answer
        to the commit is lost, the server is asked what became of it; where that cannot be learned, LostAnswer is raised.
        """
        return self._try(partial(self._committed, work))

    def probe(self, work: Callable[[Transaction], T]) -> T:
        """What `work` answers; all it did is undone."""
        return self._try(partial(self._once, partial(_undone, work)))

    def connect(self, **more: Any) -> Transaction:
        """A connection of the caller's own, without any transaction. Raises psycopg.Error."""
        db = psycopg.connect(**{**self._arguments, "application_name": "wharfinger", **more}, autocommit=True)
        try:
            if db.info.server_version < NEEDED:
                raise Incompatible(
                    f"{self.name}: Postgres {db.info.server_version // 10_000} is too old; 14 is needed",
                    fix="use a newer server",
                )
            db.adapters.register_dumper(int, Int8Dumper)
            db.prepare_threshold = 0
            db.prepared_max = 256
            db.execute(f"SET lock_timeout = {max(1, int(self._patience_s * 1000))}; {SETTINGS}", prepare=False)
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Close the connections that nobody uses; the others are closed after their use."""
        self._is_closed = True
        self._forget()

    def _committed(self, work: Callable[[Transaction], T]) -> T:
        commit = Commit(work)
        try:
            return self._once(commit)
        except psycopg.Error as exc:
            if commit.number and _is_lost(exc) and self.is_done(commit.number, exc):
                return commit.answer
            raise

    def is_done(self, number: Number, lost: psycopg.Error) -> bool:
        """
        Whether the transaction of this number was committed. Raises LostAnswer, for the reason `lost`, where nobody can tell: the
        server does not answer within the patience, or it has crashed since, and may have given the number to another.
        """
        until = time.monotonic() + self._patience_s
        with suppress(Busy):
            while time.monotonic() < until:
                (status,) = self.read(lambda db: first(db, _STATUS, *number))
                if status is None:
                    break
                if status != "in progress":
                    return bool(status == "committed")
                time.sleep(0.02)
        raise LostAnswer(
            f"{self.name}: the connection was lost during a commit; what it would have changed may be changed or not"
        ) from lost

    def _once(self, work: Callable[[Transaction], T]) -> T:
        db = self._take()
        try:
            answer = work(db)
        except BaseException as exc:
            db.close()
            if isinstance(exc, psycopg.Error) and _is_lost(exc):
                self._forget()  # the others are likely to be lost, too
            raise
        self._idle.append(db)
        if self._is_closed:
            self._forget()
        return answer

    def _take(self) -> Transaction:
        try:
            return self._idle.pop()
        except IndexError:
            db = self.connect()
        self._was_open = True
        return db

    def _forget(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _try(self, attempt: Callable[[], T]) -> T:
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return attempt()
            except psycopg.Error as exc:
                passes = exc.sqlstate in RETRIED or (self._was_open and _is_lost(exc))
                if not passes or time.monotonic() > until:
                    raise self._translated(exc) from exc
            time.sleep(random.uniform(0, 0.05))  # noqa: S311

    def _translated(self, exc: psycopg.Error) -> LedgerError:
        said = str(exc).strip().partition("\n")[0]
        if isinstance(exc, psycopg.errors.LockNotAvailable) or exc.sqlstate in RETRIED:
            return Busy(
                f"{self.name}: somebody has held the ledger for over {self._patience_s:g} s",
                fix="try again; if it lasts, look for transactions that stay open: SELECT * FROM pg_stat_activity",
            )
        if isinstance(exc, psycopg.errors.DiskFull):
            return LedgerError(f"{self.name}: no space left for the ledger", code="NO_SPACE", fix="free some space")
        if _is_lost(exc) and self._was_open:
            return Busy(f"{self.name}: {said}", fix="see that the server runs and can be reached")
        if _is_lost(exc):
            fix = "see that the server runs, and that URL, role and password (PGPASSWORD, passfile) are right"
            return LedgerError(f"{self.name}: {said}", code="LEDGER_UNREACHABLE", fix=fix)
        return LedgerError(f"{self.name}: {said}")


def server_version(db: Transaction) -> str:
    """As the server says it: "15.14"."""
    return str(first(db, "SHOW server_version")[0]).partition(" ")[0]


def rows(tx: Transaction, sql: str, *values: Any) -> list[Any]:
    """All rows, as tuples."""
    return tx.execute(sql, values).fetchall()


def first(tx: Transaction, sql: str, *values: Any) -> Any:
    """The first row, or None."""
    return tx.execute(sql, values).fetchone()


def columns(values: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as the arrays that `unnest` makes rows of."""
    return [list(column) for column in zip(*values)]


def locked(tx: Transaction, *what: str) -> None:
    """Let nobody else have any of these names until the transaction ends."""
    _lock(tx, "pg_advisory_xact_lock", what)


def shared(tx: Transaction, *what: str) -> None:
    """Let nobody else lock any of these names until the transaction ends."""
    _lock(tx, "pg_advisory_xact_lock_shared", what)


def _lock(tx: Transaction, how: str, what: Sequence[str]) -> None:
    names = sorted({*what})
    tx.execute(f"SELECT {how}(hashtextextended(current_schema() || '/' || n, 0)) FROM unnest(%s::text[]) n", (names,))


class Commit(Generic[T]):
    """
    `work` in a transaction, in pipeline mode: what is not read is not waited for, but for the commit. Once that is on its way, `number` is
    what the server knows the transaction by, and `answer` what it would have answered.
    """

    answer: T
    number: Number | None = None

    def __init__(self, work: Callable[[Transaction], T]) -> None:
        self._work = work

    def __call__(self, db: Transaction) -> T:
        """Do it."""
        with db.pipeline():
            db.execute("BEGIN")
            asked = db.execute(_NUMBER)
            self.answer = self._work(db)
            self.number = asked.fetchall()[0]
            db.execute("COMMIT")
        return self.answer


def _seen_at_once(work: Callable[[Transaction], T], db: Transaction) -> T:
    with db.pipeline():
        db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        answer = work(db)
        db.execute("COMMIT")
    return answer


def _undone(work: Callable[[Transaction], T], db: Transaction) -> T:
    """Without a pipeline: psycopg forgets its prepared statements at a ROLLBACK, and must not while others are on their way."""
    db.execute("BEGIN")
    answer = work(db)
    db.execute("ROLLBACK")
    return answer


def _is_lost(exc: psycopg.Error) -> bool:
    """Whether the connection is gone, so that nothing tells what became of the last statement."""
    if exc.sqlstate is None:
        return isinstance(exc, (psycopg.OperationalError, psycopg.InterfaceError))
    return exc.sqlstate.startswith("08") or exc.sqlstate in LOST
