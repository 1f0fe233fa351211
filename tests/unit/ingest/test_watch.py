"""The watch looks when it is told of a change, and in any case."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from rig.drop import Drop
from rig.waiting import wait_until
from wharfinger.ingest import Answers, Upload
from wharfinger.ingest.account import Account, Problem
from wharfinger.ingest.reconcile import GROUP_BYTES
from wharfinger.ingest.watch import Round, Teller, Watch, stirrings

GOOD = Account("scans", 1.5, listed=3, in_custody=3, landed=1, waiting=0, unaccounted=0)


@contextmanager
def watching(drop: Drop, *, scan_s: float, deaf: bool = False) -> Iterator[list[Account]]:
    told: list[Account] = []
    hear = silence if deaf else partial(stirrings, drop.path)
    watch = Watch([Round(drop.reconciler, hear, scan_s)], told=told.append)
    watch.start()
    try:
        yield told
    finally:
        watch.stop()
        watch.join()


def silence(stopped: threading.Event) -> Iterator[bool]:
    """A system that tells of nothing, as many network filesystems do."""
    while not stopped.wait(0.01):
        yield False


def test_what_lies_there_at_the_start_is_taken(tmp_path: Path) -> None:
    with Drop(tmp_path) as drop:
        drop.write("a.csv")
        with watching(drop, scan_s=1000):
            wait_until("it is taken", drop.records)


def test_a_change_is_heard_long_before_the_next_scan(tmp_path: Path) -> None:
    with Drop(tmp_path) as drop, watching(drop, scan_s=1000) as told:
        wait_until("it has begun", lambda: told)
        drop.write("sub/a.csv")
        wait_until("it is taken", drop.records, seconds=10)


def test_a_look_that_a_stop_ends_is_neither_told_nor_confirmed(tmp_path: Path) -> None:
    confirmed: list[Account] = []
    told: list[Account] = []
    with Drop(tmp_path) as drop:
        for n in range(3):
            drop.write(f"{n}.bin", b"x" * GROUP_BYTES)
        watch = Watch([Round(drop.reconciler, silence, 1000, confirmed.append)], told=told.append)
        land = drop.land

        def landing(uploads: Sequence[Upload]) -> Answers:
            watch.stop()
            return land(uploads)

        drop.land = landing
        watch.start()
        watch.join()
        assert (len(drop.records()), told, confirmed) == (1, [], [])


def test_a_lost_event_costs_the_time_to_the_next_scan(tmp_path: Path) -> None:
    with Drop(tmp_path) as drop, watching(drop, scan_s=0.2, deaf=True) as told:
        wait_until("it has begun", lambda: told)
        drop.write("a.csv")
        wait_until("it is taken", drop.records, seconds=10)


def test_an_account_that_nobody_can_take_ends_no_watch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def told(_: Account) -> None:
        raise TypeError("no account of mine")

    def confirm(_: Account) -> None:
        raise KeyError("no message of mine")

    with Drop(tmp_path) as drop:
        watch = Watch([Round(drop.reconciler, partial(stirrings, drop.path), 0.2, confirm)], told=told)
        watch.start()
        try:
            for n in range(2):
                drop.write(f"{n}.csv")
                wait_until("it is taken", lambda n=n: len(drop.records()) > n)
        finally:
            watch.stop()
            watch.join()
    said = [str(record.exc_info and record.exc_info[1]) for record in caplog.records]
    assert {"no account of mine", "'no message of mine'"} <= {*said}


def test_what_is_not_whole_is_looked_at_again_soon(tmp_path: Path) -> None:
    with Drop(tmp_path, complete="stable", stable_s=0.3) as drop:
        drop.write("a.csv")
        with watching(drop, scan_s=1000, deaf=True):
            wait_until("it is taken", drop.records, seconds=10)


def test_a_folder_that_is_not_there_yet_is_watched_when_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Drop(tmp_path) as drop:
        drop.path.rmdir()
        with watching(drop, scan_s=0.2) as told:
            wait_until("trouble is told", lambda: told and told[-1].error)
            drop.path.mkdir()
            drop.write("a.csv")
            wait_until("it is taken", drop.records)
            wait_until("it is well", lambda: not told[-1].error)
    said = [record.getMessage() for record in caplog.records]
    assert sum("cannot be looked at" in each for each in said) == 1
    assert sum("is looked at again" in each for each in said) == 1


def test_a_problem_is_logged_when_it_is_new(caplog: pytest.LogCaptureFixture) -> None:
    teller, problem = Teller("scans"), Problem("a.csv", "LATE", "'a.csv' is late", "ask")
    for account in (GOOD, replace(GOOD, problems=(problem,)), replace(GOOD, problems=(problem,)), GOOD):
        teller.tell(account)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "source scans: LATE: 'a.csv' is late; ask")
    ]
