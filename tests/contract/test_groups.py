"""What every Ledger promises of groups: one file after another, in the order of their arrival, and groups side by side."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rig.databases import (
    DATABASES,
    START,
    Clock,
    a_call,
    an_arrival,
    arrived,
    claimed,
    failed,
    held,
    lease,
    quarantined,
    retried,
    transferred,
    unrouted,
    waiting,
    work_in_groups,
)
from wharfinger.ledger import LARGE, MANY, Catalog, Database, Filter, Gates, Ledger
from wharfinger.model import Arrival, Delivered, FileRecord, Group, Outcome, Run, State, Status

HOLDS = Group("acme/inbound/positions")
GOES_ON = Group("acme/inbound/prices", holds=False)

spawn = multiprocessing.get_context("spawn")


def record(catalog: Catalog, arrival: Arrival) -> FileRecord:
    found = catalog.file(arrival.file_id)
    assert found
    return found


def states(catalog: Catalog, arrivals: Sequence[Arrival]) -> str:
    """In one letter each: ready, leased, waiting, behind, done, Dead, cancelled."""
    letters = {State.DEAD: "D"}
    return "".join(letters.get(state := record(catalog, a).state, state.value[0]) for a in arrivals)


def claims(ledger: Ledger) -> list[str]:
    return [run.id for run in ledger.claim("worker", 100, 30)]


def worked_off(ledger: Ledger, end: Callable[[Run], Outcome] = transferred) -> list[str]:
    """Claim and settle until nothing is ready: the files in the order of their ends."""
    order = []
    while runs := ledger.claim("worker", 7, 30):
        assert all(ledger.settle([end(run) for run in runs]))
        order += [run.id for run in runs]
    return order


def ids(arrivals: Sequence[Arrival]) -> list[str]:
    return [arrival.file_id for arrival in arrivals]


# -- in order


def test_of_a_group_the_oldest_is_ready_and_the_others_are_behind(ledger: Ledger, catalog: Catalog) -> None:
    arrivals = arrived(ledger, 3, group=HOLDS)
    assert states(catalog, arrivals) == "rbb"
    head, *others = (record(catalog, a) for a in arrivals)
    assert (head.group, head.behind) == (HOLDS.name, "")
    assert {(r.status, r.group, r.behind) for r in others} == {(Status.UPLOADED, HOLDS.name, head.file_id)}
    assert catalog.counts().runs[State.BEHIND] == 2


def test_a_group_is_worked_on_in_the_order_of_its_arrival(ledger: Ledger) -> None:
    """Whatever versions, times and sizes the files have, and in however many calls they came."""
    rand = random.Random(1)
    arrivals = [
        an_arrival(at=START - n * rand.random(), size=rand.choice([0, 1000, LARGE + 1]), group=HOLDS) for n in range(40)
    ]
    for start in (0, 1, 3, 20):
        ledger.arrive(arrivals[start : {0: 1, 1: 3, 3: 20, 20: 40}[start]])
    assert worked_off(ledger) == ids(arrivals)


def test_a_claimed_run_tells_its_group(ledger: Ledger) -> None:
    arrivals = [an_arrival(group=HOLDS), an_arrival(group=GOES_ON), an_arrival()]
    ledger.arrive(arrivals)
    assert [run.arrival for run in ledger.claim("worker", 10, 30)] == arrivals


def test_groups_and_files_without_one_go_side_by_side(ledger: Ledger) -> None:
    arrivals = [an_arrival(group=Group(f"acme/{n % 3}") if n % 4 else None) for n in range(16)]
    ledger.arrive(arrivals)
    firsts = {a.group: a.file_id for a in reversed(arrivals) if a.group}
    free = {a.file_id for a in arrivals if not a.group}
    assert {*claims(ledger)} == free | {*firsts.values()}


def test_never_two_of_a_group_at_once(ledger: Ledger) -> None:
    arrived(ledger, 5, group=HOLDS)
    assert len(claims(ledger)) == 1
    assert claims(ledger) == []
    arrived(ledger, 2, group=HOLDS)
    assert claims(ledger) == []


def test_an_arrival_in_a_group_that_is_idle_is_ready_at_once(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger, 2, group=HOLDS)
    worked_off(ledger)
    late = arrived(ledger, 1, group=HOLDS)
    assert states(catalog, late) == "r"


def test_a_known_arrival_changes_nothing_in_its_group(ledger: Ledger, catalog: Catalog) -> None:
    arrivals = arrived(ledger, 2, group=HOLDS)
    assert ledger.arrive([arrivals[1], arrivals[0]]) == [False, False]
    assert states(catalog, arrivals) == "rb"
    assert worked_off(ledger) == ids(arrivals)


def test_whoever_is_behind_takes_no_turn_from_others_of_its_customer(ledger: Ledger) -> None:
    crowd = arrived(ledger, 300, group=HOLDS)
    [other] = arrived(ledger, customer="globex")
    [own] = arrived(ledger)
    assert {*claims(ledger)} == {crowd[0].file_id, other.file_id, own.file_id}
    [late] = arrived(ledger)
    arrived(ledger, 3, customer="globex")
    assert late.file_id in claims(ledger)[:2]


# -- the head keeps its place


def test_a_retry_keeps_its_place(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    arrivals = arrived(ledger, 2, group=HOLDS)
    ledger.settle([retried(claimed(ledger), START + 60)])
    assert (states(catalog, arrivals), claims(ledger)) == ("rb", [])
    clock.forward(61)
    assert worked_off(ledger) == ids(arrivals)


def test_a_released_run_keeps_its_place(ledger: Ledger) -> None:
    arrivals = arrived(ledger, 2, group=HOLDS)
    ledger.release([lease(claimed(ledger))])
    assert worked_off(ledger) == ids(arrivals)


def test_what_a_dead_worker_held_comes_back_before_the_others(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    arrivals = arrived(ledger, 3, group=HOLDS)
    zombie = claimed(ledger)
    clock.forward(31)
    assert claims(ledger) == []
    assert ledger.sweep() == [zombie.id]
    assert states(catalog, arrivals) == "rbb"
    heir = claimed(ledger)
    assert heir.id == zombie.id
    assert ledger.settle([transferred(zombie)]) == [False]
    assert (states(catalog, arrivals), claims(ledger)) == ("lbb", [])
    assert ledger.settle([transferred(heir)]) == [True]
    assert worked_off(ledger) == ids(arrivals[1:])


def test_a_stale_settle_after_the_end_lets_nobody_pass(ledger: Ledger, catalog: Catalog) -> None:
    arrivals = arrived(ledger, 3, group=HOLDS)
    run = claimed(ledger)
    assert ledger.settle([transferred(run)]) == [True]
    assert ledger.settle([transferred(run)]) == [False]
    assert states(catalog, arrivals) == "drb"


def test_a_paused_pipeline_keeps_the_group_waiting(ledger: Ledger, gates: Gates, catalog: Catalog) -> None:
    gates.pause("claims", "ann")
    arrivals = arrived(ledger, 3, group=GOES_ON)
    ledger.settle([held(claimed(ledger))])
    assert (states(catalog, arrivals), claims(ledger)) == ("wbb", [])
    assert record(catalog, arrivals[1]).behind == arrivals[0].file_id
    assert catalog.holders() == []
    gates.resume("claims", "ann")
    assert gates.wake() == [arrivals[0].file_id]
    assert worked_off(ledger) == ids(arrivals)


def test_a_file_whose_children_work_keeps_its_place_and_they_wait_for_nobody(ledger: Ledger, catalog: Catalog) -> None:
    arrivals = arrived(ledger, 2, group=HOLDS)
    parent = claimed(ledger)
    assert ledger.spawn([a_call(parent)]) == [[True]]
    assert ledger.settle([waiting(parent)]) == [True]
    assert states(catalog, arrivals) == "wb"
    child = claimed(ledger)
    assert child.child
    assert claims(ledger) == []
    ledger.settle([transferred(child)])
    assert states(catalog, arrivals) == "rb"
    assert worked_off(ledger) == ids(arrivals)


def test_each_of_a_call_lets_its_own_group_go_on(ledger: Ledger, catalog: Catalog) -> None:
    """Atomic for each element, also where one of them is stale."""
    groups = [Group(f"acme/{n}") for n in range(3)]
    lines = [arrived(ledger, 2, group=group) for group in groups]
    runs = {run.arrival.group: run for run in ledger.claim("worker", 10, 30)}
    ledger.release([lease(runs[groups[1]])])
    outcomes = [transferred(runs[groups[0]]), transferred(runs[groups[1]]), retried(runs[groups[2]], START + 9)]
    assert ledger.settle(outcomes) == [True, False, True]
    assert [states(catalog, line) for line in lines] == ["dr", "rb", "rb"]


# -- what failed


@pytest.mark.parametrize("end", [failed, quarantined, unrouted])
def test_what_did_not_end_well_holds_its_group(ledger: Ledger, catalog: Catalog, end: Callable[[Run], Outcome]) -> None:
    arrivals = arrived(ledger, 3, group=HOLDS)
    ledger.settle([end(claimed(ledger))])
    assert claims(ledger) == []
    assert [record(catalog, a).behind for a in arrivals] == ["", arrivals[0].file_id, arrivals[0].file_id]
    assert [holder.file_id for holder in catalog.holders()] == [arrivals[0].file_id]
    late = arrived(ledger, 1, group=HOLDS)
    assert states(catalog, late) == "b"


@pytest.mark.parametrize("end", [failed, quarantined, unrouted])
def test_a_group_may_go_on_after_what_did_not_end_well(
    ledger: Ledger, catalog: Catalog, end: Callable[[Run], Outcome]
) -> None:
    arrivals = arrived(ledger, 3, group=GOES_ON)
    assert worked_off(ledger, end) == ids(arrivals)
    assert catalog.holders() == []


@pytest.mark.parametrize("end", [failed, quarantined, unrouted])
def test_a_group_that_was_held_goes_on_when_the_file_is_replayed(
    ledger: Ledger, catalog: Catalog, end: Callable[[Run], Outcome]
) -> None:
    arrivals = arrived(ledger, 3, group=HOLDS)
    ledger.settle([end(claimed(ledger))])
    assert ledger.replay([arrivals[0].file_id]) == [True]
    assert states(catalog, arrivals) == "rbb"
    assert worked_off(ledger) == ids(arrivals)
    assert catalog.holders() == []


@pytest.mark.parametrize("end", [failed, quarantined, unrouted])
def test_a_group_that_was_held_goes_on_when_the_file_is_cancelled(
    ledger: Ledger, catalog: Catalog, end: Callable[[Run], Outcome]
) -> None:
    arrivals = arrived(ledger, 3, group=HOLDS)
    ledger.settle([end(claimed(ledger))])
    assert ledger.cancel([arrivals[0].file_id], "ann") == [True]
    assert states(catalog, arrivals) == "crb"
    assert worked_off(ledger) == ids(arrivals[1:])


def test_a_group_that_was_held_goes_on_when_the_bytes_of_the_file_are_purged(
    ledger: Ledger, database: Database, catalog: Catalog
) -> None:
    arrivals = arrived(ledger, 2, group=HOLDS)
    ledger.settle([quarantined(claimed(ledger))])
    assert database.purges.order(ids(arrivals), by="ann") == [True, False]
    assert states(catalog, arrivals) == "cr"


def test_a_replay_that_fails_again_holds_again(ledger: Ledger, catalog: Catalog) -> None:
    arrivals = arrived(ledger, 2, group=HOLDS)
    for _ in range(2):
        ledger.settle([failed(claimed(ledger))])
        assert (states(catalog, arrivals), claims(ledger)) == ("Db", [])
        ledger.replay([arrivals[0].file_id])
    assert worked_off(ledger) == ids(arrivals)


@pytest.mark.parametrize(("group", "then"), [(HOLDS, "Db"), (GOES_ON, "Dr")])
def test_a_poison_file_holds_its_group_as_any_other(
    ledger: Ledger, catalog: Catalog, clock: Clock, group: Group, then: str
) -> None:
    arrivals = arrived(ledger, 2, group=group)
    for _ in range(3):
        assert len(claims(ledger)) == 1
        clock.forward(31)
        ledger.sweep()
    assert states(catalog, arrivals) == then


def test_what_holds_nobody_is_no_holder(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger, 1, group=HOLDS)
    ledger.settle([failed(claimed(ledger))])
    assert catalog.holders() == []


# -- replay


def test_a_replayed_file_comes_before_the_younger_ones_and_beside_nobody(ledger: Ledger, catalog: Catalog) -> None:
    arrivals = arrived(ledger, 4, group=HOLDS)
    first = claimed(ledger)
    ledger.settle([transferred(first)])
    second = claimed(ledger)
    assert ledger.replay([first.id]) == [True]
    assert states(catalog, arrivals) == "blbb"
    assert record(catalog, arrivals[0]).behind == second.id
    assert record(catalog, arrivals[0]).status == Status.QUEUED
    ledger.settle([transferred(second)])
    assert worked_off(ledger) == ids([arrivals[0], *arrivals[2:]])


def test_files_are_replayed_in_the_order_of_their_arrival_however_they_are_named(ledger: Ledger) -> None:
    arrivals = arrived(ledger, 60, group=HOLDS)
    worked_off(ledger)
    shuffled = random.Random(2).sample(ids(arrivals), 60)
    assert ledger.replay(shuffled) == [True] * 60
    assert worked_off(ledger) == ids(arrivals)


def test_replaying_who_is_behind_changes_nothing(ledger: Ledger, catalog: Catalog) -> None:
    arrivals = arrived(ledger, 2, group=HOLDS)
    assert ledger.replay([arrivals[1].file_id]) == [True]
    assert [event.kind for event in catalog.events(arrivals[1].file_id)] == ["arrived"]
    assert worked_off(ledger) == ids(arrivals)


def test_a_retry_that_is_replayed_is_still_the_first(ledger: Ledger, catalog: Catalog) -> None:
    arrivals = arrived(ledger, 2, group=HOLDS)
    ledger.settle([retried(claimed(ledger), START + 600)])
    assert ledger.replay([arrivals[0].file_id]) == [True]
    assert states(catalog, arrivals) == "rb"
    assert claimed(ledger).id == arrivals[0].file_id


# -- cancel


def test_a_file_that_is_cancelled_behind_others_leaves_the_line(ledger: Ledger) -> None:
    arrivals = arrived(ledger, 4, group=HOLDS)
    assert ledger.cancel([arrivals[2].file_id], "ann") == [True]
    assert worked_off(ledger) == ids([*arrivals[:2], arrivals[3]])


def test_the_next_begins_when_the_first_is_cancelled(ledger: Ledger, catalog: Catalog) -> None:
    arrivals = arrived(ledger, 3, group=HOLDS)
    assert ledger.cancel(ids(arrivals[:2]), "ann") == [True, True]
    assert states(catalog, arrivals) == "ccr"
    assert claims(ledger) == [arrivals[2].file_id]


def test_nobody_begins_while_a_worker_may_be_at_a_cancelled_file(
    ledger: Ledger, catalog: Catalog, clock: Clock
) -> None:
    """Neither who is next, nor who is after that, nor who arrives now: until the lease would have ended."""
    arrivals = arrived(ledger, 3, group=HOLDS)
    run = claimed(ledger)
    clock.forward(10)
    ledger.cancel([run.id], "ann")
    assert (states(catalog, arrivals), claims(ledger)) == ("crb", [])
    assert record(catalog, arrivals[1]).due == START + 30
    ledger.cancel(ids(arrivals[1:]), "ann")
    late = arrived(ledger, 2, group=HOLDS)
    assert (states(catalog, late), claims(ledger)) == ("rb", [])
    clock.forward(21)
    assert worked_off(ledger) == ids(late)


def test_nor_is_a_cancelled_file_that_is_replayed_begun_before(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    """However often it is cancelled and replayed meanwhile, and whoever else is cancelled."""
    arrivals = arrived(ledger, 3, group=HOLDS)
    run = claimed(ledger)
    clock.forward(5)
    for _ in range(2):
        assert ledger.cancel([run.id], "ann") == [True]
        assert ledger.replay([run.id]) == [True]
        assert states(catalog, arrivals) == "brb"
        assert ledger.cancel([arrivals[1].file_id], "ann") == [True]
        assert (states(catalog, arrivals), claims(ledger)) == ("rcb", [])
        assert record(catalog, arrivals[0]).due == START + 30
        ledger.replay([arrivals[1].file_id])
    assert ledger.settle([transferred(run)]) == [False]
    clock.forward(26)
    assert worked_off(ledger) == ids(arrivals)


def test_nobody_begins_while_anything_that_a_cancelled_file_has_called_is_at_work(
    ledger: Ledger, catalog: Catalog, clock: Clock
) -> None:
    """Three deep: its child waits for one of its own, which a worker has."""
    arrivals = arrived(ledger, 2, group=HOLDS)
    parent = claimed(ledger)
    ledger.spawn([a_call(parent)])
    ledger.settle([waiting(parent)])
    child = claimed(ledger)
    ledger.spawn([a_call(child)])
    ledger.settle([waiting(child)])
    grandchild = claimed(ledger)
    clock.forward(10)
    assert ledger.cancel([parent.id], "ann") == [True]
    late = arrived(ledger, 1, group=HOLDS)
    assert (states(catalog, [*arrivals, *late]), claims(ledger)) == ("cbb", [])
    assert record(catalog, arrivals[1]).behind == parent.id
    while ledger.cancel_children():
        pass
    assert ledger.settle([transferred(grandchild)]) == [False]
    assert (states(catalog, arrivals), claims(ledger)) == ("cr", [])
    assert record(catalog, arrivals[1]).due == START + 30
    clock.forward(21)
    assert worked_off(ledger) == ids([arrivals[1], *late])


def test_the_last_child_of_a_cancelled_file_to_end_lets_the_next_begin(ledger: Ledger, catalog: Catalog) -> None:
    arrivals = arrived(ledger, 2, group=HOLDS)
    parent = claimed(ledger)
    ledger.spawn([a_call(parent)])
    ledger.settle([waiting(parent)])
    child = claimed(ledger)
    ledger.cancel([parent.id], "ann")
    assert states(catalog, arrivals) == "cb"
    assert ledger.settle([transferred(child)]) == [True]
    assert states(catalog, arrivals) == "cr"


# -- what is restored


def test_what_was_delivered_before_the_ledger_was_lost_keeps_nobody_waiting(ledger: Ledger, catalog: Catalog) -> None:
    effect = Delivered("archive", "delivered", "k", "V1", 5, "ab" * 32, START + 7)
    arrivals = [an_arrival(group=HOLDS, delivered=(effect,) if n in (0, 1, 3) else None) for n in range(5)]
    ledger.arrive(arrivals)
    assert states(catalog, arrivals) == "ddrdb"
    ledger.replay(ids(arrivals))
    assert worked_off(ledger) == [arrivals[2].file_id, *ids([*arrivals[:2], *arrivals[3:]])]


# -- at once


def test_arrivals_from_many_sides_stand_in_one_line(ledger: Ledger, catalog: Catalog) -> None:
    """Each of six sends to all groups, several of its files at once; each one's order is kept, and all groups have one first."""
    groups = [Group(f"acme/{n}") for n in range(5)]
    sent = [[an_arrival(group=groups[(n * 7 + sender) % 5]) for n in range(60)] for sender in range(6)]

    def send(arrivals: Sequence[Arrival]) -> None:
        for start in range(0, 60, 12):
            assert all(ledger.arrive(arrivals[start : start + 12]))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(send, sent))
    assert catalog.counts().runs[State.READY] == 5
    place = {id: n for n, id in enumerate(worked_off(ledger))}
    assert len(place) == 360
    for arrivals, group in itertools.product(sent, groups):
        theirs = [place[a.file_id] for a in arrivals if a.group == group]
        assert theirs == sorted(theirs)


def test_who_arrives_while_the_last_one_ends_is_not_left_behind(
    ledger: Ledger, catalog: Catalog, open_database: Callable[[], Database]
) -> None:
    """Each sees the other, or stands behind it: over and over, at the same moment."""
    other, start = open_database().ledger, threading.Barrier(2)
    for n in range(60):
        group = Group(f"acme/{n}")
        arrived(ledger, 1, group=group)
        run, late = claimed(ledger), an_arrival(group=group)

        def arrive(late: Arrival = late) -> None:
            start.wait()
            other.arrive([late])

        thread = threading.Thread(target=arrive)
        thread.start()
        start.wait()
        ledger.settle([transferred(run)])
        thread.join()
        assert states(catalog, [late]) == "r"
        ledger.settle([transferred(claimed(ledger))])


@pytest.mark.parametrize("seed", range(2))
def test_workers_at_random_keep_every_group_in_order(ledger: Ledger, catalog: Catalog, seed: int) -> None:
    """
    Five workers claim, settle, release and lose runs, or let them fail and replay them, while files arrive: never are two of a group at
    work, and the effects come in the order of arrival.
    """
    rand, lock = random.Random(seed), threading.Lock()
    groups = [Group(f"acme/{n}", holds=n % 2 == 0) for n in range(4)]
    arrivals = [an_arrival(group=rand.choice(groups)) for _ in range(160)]
    effects: dict[Group | None, list[str]] = defaultdict(list)
    at_work: dict[Group | None, str] = {}

    def take(runs: Sequence[Run]) -> None:
        with lock:
            for run in runs:
                assert at_work.setdefault(run.arrival.group, run.id) == run.id, "two of one group"

    def leave(runs: Sequence[Run], *, with_effect: bool = False) -> None:
        with lock:
            for run in runs:
                del at_work[run.arrival.group]
                effects[run.arrival.group] += [run.id] if with_effect else []

    def work(n: int) -> None:
        mine, idle = random.Random(seed * 10 + n), 0
        while idle < 40:
            runs = ledger.claim(f"w{n}", mine.randint(1, 4), 30)
            take(runs)
            idle = 0 if runs else idle + 1
            while runs:
                how, run = mine.random(), runs.pop()
                if how < 0.1:
                    leave([run, *runs])
                    ledger.sweep(owner=f"w{n}", crashed=False)
                    break
                leave([run], with_effect=0.2 <= how < 0.8)
                if how < 0.2:
                    assert ledger.release([lease(run)]) == [True]
                elif how < 0.8:
                    assert ledger.settle([transferred(run)]) == [True]
                else:
                    assert ledger.settle([failed(run)]) == [True]
                    assert ledger.replay([run.id]) == [True]

    def arrive() -> None:
        for start in range(0, 160, 5):
            assert all(ledger.arrive(arrivals[start : start + 5]))

    with ThreadPoolExecutor(6) as pool:
        sender = pool.submit(arrive)
        workers = [pool.submit(work, n) for n in range(5)]
        for each in [sender, *workers]:
            each.result()
    work(9)
    for group in groups:
        theirs = [a.file_id for a in arrivals if a.group == group]
        assert sorted(effects[group]) == sorted(theirs)
        assert effects[group] == theirs or not group.holds
    assert catalog.counts().runs[State.DONE] == 160


@pytest.mark.parametrize("point", ["ledger.arriving", "ledger.settling", "ledger.advancing", "ledger.advancing:3"])
def test_a_process_that_is_killed_leaves_every_group_with_its_first(backend: str, tmp_path: Path, point: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHARF_CRASH", point)
        process = spawn.Process(target=work_in_groups, args=(backend, tmp_path))
        process.start()
        process.join(60)
    assert process.exitcode == -9
    database = DATABASES[backend](tmp_path)
    database.ledger.sweep(owner="doomed")
    work_in_groups(backend, tmp_path)
    check_all_done_in_order(database)
    database.close()


def check_all_done_in_order(database: Database) -> None:
    files = database.catalog.files(Filter(), limit=1000)
    assert {(f.state, f.status) for f in files} == {(State.DONE, Status.TRANSFERRED)}
    ends = {f.file_id: database.catalog.events(f.file_id)[-1] for f in files}
    assert all(event.kind == "transferred" for event in ends.values())
    for group in {f.group for f in files}:
        theirs = sorted((f for f in files if f.group == group), key=lambda f: f.version)
        at = [ends[f.file_id].at for f in theirs]
        assert at == sorted(at)


def test_more_groups_than_many_are_no_matter(ledger: Ledger, catalog: Catalog) -> None:
    arrivals = [an_arrival(group=Group(f"acme/{n % 130}")) for n in range(390)]
    for start in range(0, 390, MANY):
        ledger.arrive(arrivals[start : start + MANY])
    assert catalog.counts().runs[State.READY] == 130
    assert len(worked_off(ledger)) == 390
