"""Faults of a ledger."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, repeat
from threading import Timer
from typing import Any

import apsw

from wharfinger.ledger import outcome
from wharfinger.ledger.figure import Tally
from wharfinger.ledger.hint import DatagramHint
from wharfinger.ledger.run import ALONE
from wharfinger.ledger.sqlite import (
    audit,
    child,
    connection,
    figure,
    group,
    lease,
    purge,
    queue,
    recover,
    run,
    schema,
    settle,
    tree,
)
from wharfinger.ledger.sqlite.accounts import SqliteAccounts
from wharfinger.ledger.sqlite.catalog import SqliteCatalog
from wharfinger.ledger.sqlite.queue import SqliteLedger
from wharfinger.model import Arrival, Outcome, ulid

HOUR_US = 3_600_000_000


def acknowledges_too_early() -> None:
    """An arrival is answered for a moment before it is committed."""
    honest = SqliteLedger.arrive

    def arrive(self: SqliteLedger, arrivals: Sequence[Arrival]) -> list[bool]:
        Timer(0.2, honest, (self, arrivals)).start()
        return [True] * len(arrivals)

    SqliteLedger.arrive = arrive


def records_again() -> None:
    """An arrival that is known becomes another file."""
    honest = queue.arrive

    def arrive(tx: apsw.Connection, arrivals: Sequence[Arrival], *more: Any) -> set[str]:
        known = queue.known(tx, [each.file_id for each in arrivals])
        others = [replace(each, version=ulid(each.at, 0)) if each.file_id in known else each for each in arrivals]
        return honest(tx, others, *more)

    queue.arrive = arrive


def knows_nothing() -> None:
    """The ledger denies whatever it is asked for."""
    SqliteLedger.knows = lambda _, files: [False] * len(files)


def claims_what_is_held() -> None:
    """A claim takes runs that somebody has."""
    for name in ("_HEADS", "_HEAD_OF_LANE"):
        setattr(lease, name, getattr(lease, name).replace(lease._READY, "state IN ('ready', 'leased')"))


def gives_the_same_token_again() -> None:
    """A claim does not add to the run's token."""
    lease._LEASE = lease._LEASE.replace("token = token + 1", "token = 1")
    lease._HEAD_OF_LANE = lease._HEAD_OF_LANE.replace("r.token + 1", "1")


def sweeps_too_early() -> None:
    """A lease that has an hour left is taken for one that ended."""
    honest = recover.lost
    recover.lost = lambda tx, owner, now_us: honest(tx, owner, now_us + HOUR_US)


def counts_crashes_in_company() -> None:
    """What ran when a process died is not set apart, and each of its files pays."""
    recover._TAKE_BACK = recover._TAKE_BACK.replace(f"lane = max(lane, {ALONE})", "lane = lane")


def tells_nobody() -> None:
    """A hint reaches nobody."""
    DatagramHint.send = lambda *_: None


def takes_leases_away() -> None:
    """An upgrade makes ready what somebody works on."""
    *steps, last = schema.STEPS
    schema.migrate.__defaults__ = ((*steps, f"{last}; UPDATE run SET state = 'ready', due = NULL"),)


def extends_for_anybody() -> None:
    """Whoever had a run once may hold it longer."""
    lease.is_held = lambda runs, held: held.run in runs


def settles_for_anybody() -> None:
    """An outcome is taken from whoever had the run once."""
    honest = settle.settle

    def settle_latest(tx: apsw.Connection, outcomes: Sequence[Outcome], *more: Any) -> list[bool]:
        runs = run.named(tx, [each.run for each in outcomes])
        return honest(tx, [replace(each, token=runs[each.run].token) for each in outcomes], *more)

    settle.settle = settle_latest


def forgets_who_waits() -> None:
    """Nobody is told that a child has ended."""
    child.ended = lambda *_: None


def counts_one_child_for_all() -> None:
    """A call of several children is waited for as if there were one."""
    child._MORE = child._MORE.replace("waits + ?", "waits + min(?, 1)")


def takes_one_name_for_another() -> None:
    """Children that deliver under one name are overlooked."""
    child._CLASH = child._CLASH.replace("count(DISTINCT r.id) > 1", "count(DISTINCT r.id) > 9")


def never_counts_down() -> None:
    """What is incomplete stays so, even when it is replayed."""
    honest = Tally.incomplete
    Tally.incomplete = lambda self, n: honest(self, max(n, 0))  # type: ignore[method-assign]


def wakes_afterwards() -> None:
    """A parent is woken after its child's end was committed, not with it."""
    honest = child.ended

    def ended(tx: apsw.Connection, *more: Any) -> None:
        tx.execute("COMMIT; BEGIN IMMEDIATE")
        honest(tx, *more)

    child.ended = ended


def forgets_whose_turn_it_is() -> None:
    """Nobody behind a file is told that it has ended."""
    group.advance = lambda *_: None


def lets_the_youngest_go_first() -> None:
    """Of those behind others the last to arrive has the next turn."""
    group._NEXT = group._NEXT.replace("ORDER BY turn", "ORDER BY turn DESC")


def forgets_ghosts() -> None:
    """The next of a group begins while a worker may be at a file that was cancelled."""
    group._GHOSTS = group._GHOSTS.replace("due > ?", "due < 0 AND due > ?")


def advances_afterwards() -> None:
    """The next of a group has its turn after the end of the one before was committed, not with it."""
    honest = group.advance

    def advance(tx: apsw.Connection, *more: Any) -> None:
        tx.execute("COMMIT; BEGIN IMMEDIATE")
        honest(tx, *more)

    group.advance = advance


def counts_every_retry() -> None:
    """A retry costs a try, whoever was at fault."""
    outcome.is_try = lambda _: True


def counts_afterwards() -> None:
    """Sums are not kept in the transaction of what they count."""
    honest = figure.write

    def write(tx: apsw.Connection, tally: Tally) -> None:
        tx.execute("COMMIT; BEGIN IMMEDIATE")
        honest(tx, tally)

    figure.write = write


def commits_each_statement() -> None:
    """What should be a transaction is none, and takes long enough after its first statement that a kill comes between two."""

    def no_transaction(db: apsw.Connection, begin: str) -> Iterator[apsw.Connection]:
        pauses = chain([0.0], repeat(0.005))
        db.exec_trace = lambda *_: time.sleep(next(pauses)) is None
        yield db
        db.exec_trace = None

    connection._transaction = no_transaction


def hides_a_file() -> None:
    """Every page of the catalogue lacks its first file."""
    honest = SqliteCatalog.files
    SqliteCatalog.files = lambda self, filter, **page: honest(self, filter, **page)[1:]


def shows_what_came_last() -> None:
    """An older version that comes late takes the name."""
    tree._ARRIVE = tree._ARRIVE.replace(
        "> coalesce((SELECT version FROM file WHERE file_id = name.file_id), '')", "> ''"
    )


def adds_over_another() -> None:
    """A user who is added replaces the one who has the name."""
    SqliteAccounts.add = lambda self, user: self.keep([user]) is None


def covers_half() -> None:
    """A checkpoint takes all files out of the line, and covers every other one."""
    honest = audit.insert

    def insert(tx: apsw.Connection, into: str, values: Sequence[Sequence[Any]], **more: Any) -> None:
        honest(tx, into, values[::2], **more)

    audit.insert = insert


def forgets_to_look_at_the_gate() -> None:
    """What a worker puts aside waits, although its pipeline was resumed a moment ago."""
    outcome.let_through = lambda outcomes, _: outcomes


def purges_what_is_in_work() -> None:
    """Bytes are given up although the file has not ended."""
    purge.shared.has_ended = lambda _: True


def replays_without_bytes() -> None:
    """A file whose bytes are given up can be replayed."""
    recover.purge.given_up = lambda *_: set()
