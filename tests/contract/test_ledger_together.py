"""What every Ledger promises to threads and processes that use it at once, and to those that are killed."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from rig.databases import DATABASES, a_lot, an_arrival, arrive_in, arrived, transferred, work_off, work_without_end
from rig.waiting import wait_until
from wharfinger.ledger import Database, Filter, Ledger, chain
from wharfinger.model import Status

KEYS = [f"acme/inbound/{n}.csv" for n in range(20)]

spawn = multiprocessing.get_context("spawn")


def finished(process: SpawnProcess) -> int | None:
    process.join(60)
    return process.exitcode


def test_six_threads_never_hold_the_same_run(ledger: Ledger) -> None:
    arrivals = arrived(ledger, 300)

    def work(owner: int) -> list[str]:
        mine = []
        while runs := ledger.claim(f"worker-{owner}", 7, 30):
            mine += [run.id for run in runs]
            assert all(ledger.settle([transferred(run) for run in runs]))
        return mine

    with ThreadPoolExecutor(6) as pool:
        claims = [id for mine in pool.map(work, range(6)) for id in mine]
    assert sorted(claims) == sorted(a.file_id for a in arrivals)


def test_six_threads_let_one_arrival_in_once(ledger: Ledger) -> None:
    arrivals = [an_arrival() for _ in range(50)]
    with ThreadPoolExecutor(6) as pool:
        answers = [*pool.map(lambda _: ledger.arrive(arrivals), range(6))]
    assert [sum(each) for each in zip(*answers)] == [1] * 50


@pytest.mark.slow
def test_four_processes_never_hold_the_same_run(backend: str, tmp_path: Path) -> None:
    database = DATABASES[backend](tmp_path)
    notes = [tmp_path / f"{n}.claims" for n in range(4)]
    processes = [
        spawn.Process(target=work_off, args=(backend, tmp_path, f"w{n}", 2.0, str(notes[n]))) for n in range(4)
    ]
    for process in processes:
        process.start()
    arrivals = arrived(database.ledger, 1000)
    assert [finished(process) for process in processes] == [0] * 4
    claims = [line for path in notes for line in path.read_text().splitlines()]
    assert sorted(claims) == sorted(f"{a.file_id} 1" for a in arrivals)
    assert database.catalog.counts().files[Status.TRANSFERRED] == 1000
    database.close()


@pytest.mark.parametrize("point", ["ledger.arriving", "ledger.settling"])
def test_a_process_that_is_killed_leaves_all_of_an_element_or_nothing(
    backend: str, tmp_path: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHARF_CRASH", point)
    process = spawn.Process(target=arrive_in, args=(backend, tmp_path, KEYS))
    process.start()
    assert finished(process) == -9
    monkeypatch.delenv("WHARF_CRASH")

    database = DATABASES[backend](tmp_path)
    before = database.catalog.files(Filter())
    for found in before:
        events = database.catalog.events(found.file_id)
        assert chain.verify(events) == []
        settled = found.status == Status.TRANSFERRED
        assert [event.kind for event in events] == ["arrived", "transferred"][: 1 + settled]
        [entry] = database.namespace.look([found.key])
        assert entry
        assert entry.file_id == found.file_id
    assert sum(database.catalog.counts().files.values()) == len(before)

    database.ledger.sweep(owner="doomed")
    arrive_in(backend, tmp_path, KEYS)
    while runs := database.ledger.claim("worker", 100, 30):
        database.ledger.settle([transferred(run) for run in runs])
    assert database.catalog.counts().files[Status.TRANSFERRED] == len(KEYS)
    database.close()


@pytest.mark.parametrize("pause_s", [0.0, 0.011, 0.023, 0.037])
def test_a_process_that_is_killed_at_any_instant_leaves_nothing_half(
    backend: str, tmp_path: Path, pause_s: float
) -> None:
    database = DATABASES[backend](tmp_path)
    process = spawn.Process(target=work_without_end, args=(backend, tmp_path))
    process.start()
    wait_until("it works", lambda: database.ledger.knows([a_lot(1)[0].file_id])[0])
    time.sleep(pause_s)
    process.kill()
    assert finished(process) == -9

    database.ledger.sweep(owner="doomed")
    lots = takewhile(lambda lot: any(database.ledger.knows([a.file_id for a in lot])), map(a_lot, itertools.count()))
    arrivals = [arrival for lot in lots for arrival in lot]
    for start in range(0, len(arrivals), 100):
        database.ledger.arrive(arrivals[start : start + 100])
    while runs := database.ledger.claim("worker", 100, 30):
        database.ledger.settle([transferred(run) for run in runs])
    for arrival in arrivals:
        events = database.catalog.events(arrival.file_id)
        assert chain.verify(events) == []
        assert [event.kind for event in events if event.kind != "expired"] == ["arrived", "transferred"]
    entries = database.namespace.look([arrival.key for arrival in arrivals])
    assert [entry and entry.file_id for entry in entries] == [arrival.file_id for arrival in arrivals]
    assert database.catalog.counts().files == {**dict.fromkeys(Status, 0), Status.TRANSFERRED: len(arrivals)}
    database.close()


def test_a_reader_that_takes_long_holds_up_no_writer(ledger: Ledger, database: Database) -> None:
    arrived(ledger, 50)
    begun, done = threading.Event(), threading.Event()

    def read() -> None:
        pages = database.catalog.files(Filter(), limit=10)
        begun.set()
        while not done.is_set():
            pages += database.catalog.files(Filter(), limit=100, after=pages[-1].file_id)

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(10)
    for _ in range(20):
        arrived(ledger, 5)
        assert all(ledger.settle([transferred(run) for run in ledger.claim("worker", 5, 30)]))
    done.set()
    reader.join()


def test_what_one_commits_another_sees(open_database: Callable[[], Database]) -> None:
    one, other = open_database(), open_database()
    [arrival] = arrived(one.ledger)
    [run] = other.ledger.claim("worker", 1, 30)
    assert run.id == arrival.file_id
    assert one.ledger.settle([transferred(run)]) == [True]
    found = other.catalog.file(run.id)
    assert found
    assert found.status == Status.TRANSFERRED
