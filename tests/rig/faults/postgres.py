"""Faults of the Postgres ledger."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from wharfinger.ledger.figure import Tally
from wharfinger.ledger.postgres import arrive, connection, copy, figure, group, lease, queue, rank, recover, schema
from wharfinger.ledger.postgres.connection import Transaction
from wharfinger.ledger.rank import Work


def claims_what_is_held() -> None:
    """A claim takes runs that somebody has."""
    for name in ("_HEADS", "_LEASE"):
        setattr(lease, name, getattr(lease, name).replace(lease._READY, "state IN ('ready', 'leased')"))


def lets_everybody_into_a_group() -> None:
    """Who comes into a group, and who leaves it, do not wait for each other."""
    group.lock = group.lock_of = lambda *_: None


def waits_for_what_others_hold() -> None:
    """A claim waits for rows that somebody has locked."""
    lease._LEASE = lease._LEASE.replace("SKIP LOCKED", "")


def counts_afterwards() -> None:
    """Sums are not kept in the transaction of what they count."""
    honest = figure.write

    def write(tx: Transaction, tally: Tally) -> None:
        tx.execute("COMMIT")
        tx.execute("BEGIN")
        honest(tx, tally)

    figure.write = write


def takes_a_lost_answer_for_a_no() -> None:
    """A commit whose answer was lost is done again, whatever became of it."""
    connection.Connections.is_done = lambda *_: False


def does_not_wait_for_a_dead_owner() -> None:
    """What a dead owner's session is just committing is not looked for."""
    recover.locked = lambda *_: None


def denies_what_is_being_recorded() -> None:
    """A file that somebody is about to record is unknown."""
    queue.unknown = lambda tx, files: {*files}.difference(arrive.known(tx, files))


def counts_before_it_ranks() -> None:
    """Sums are locked before the shares of customers, and long enough before them that somebody locks the shares meanwhile."""
    honest = rank.enter

    def enter(tx: Transaction, work: Sequence[Work]) -> list[int]:
        tx.execute("UPDATE figure SET value = value")
        tx.execute("SELECT pg_sleep(0.05)")
        return honest(tx, work)

    rank.enter = enter


def sorts_by_language() -> None:
    """Names are in the order of a dictionary."""
    schema.STEPS = tuple(step.replace(' COLLATE "C"', "") for step in schema.STEPS)
    schema.migrate.__defaults__ = (schema.STEPS,)


def copies_at_no_one_instant() -> None:
    """Each table of a ledger is copied as it is when its turn comes, and before that somebody else has his."""
    honest = copy._copy_out
    copy._AT_ONCE = copy._AT_ONCE.replace("REPEATABLE READ", "READ COMMITTED")

    def slowly(*given: Any) -> int:
        time.sleep(0.05)
        return honest(*given)

    copy._copy_out = slowly
