"""What every Ledger promises about runs that other runs call."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from rig.databases import (
    START,
    Clock,
    a_call,
    a_child,
    arrived,
    claimed,
    failed,
    lease,
    parent_of,
    quarantined,
    retried,
    transferred,
    unrouted,
    waiting,
)
from wharfinger.ledger import MANY, TROUBLES, Catalog, Database, Filter, Ledger, chain
from wharfinger.model import Checkpoint, Clash, Failure, Family, FileRecord, Lease, Outcome, Run, State, Status

THREE = (a_child("a"), a_child("b"), a_child("c"))


def record(catalog: Catalog, file_id: str) -> FileRecord:
    found = catalog.file(file_id)
    assert found
    return found


def kinds(catalog: Catalog, file_id: str) -> list[str]:
    events = catalog.events(file_id)
    assert chain.verify(events) == []
    return [event.kind for event in events]


def children(ledger: Ledger, n: int) -> list[Run]:
    """The next runs, which must be children, by member."""
    runs = ledger.claim("worker", n, 30)
    assert len(runs) == n
    return sorted(runs, key=member)


def member(run: Run) -> str:
    assert run.child
    return run.child.member


# -- spawn


def test_a_child_is_a_run_of_its_own_on_the_same_file(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    parent = claimed(ledger)
    wanted = a_child("2026/a.csv", kept=True)
    assert ledger.spawn([a_call(parent, wanted)]) == [[True]]
    run = claimed(ledger)
    assert (run.id, run.arrival, run.token) == (wanted.id(parent.id), arrival, 1)
    assert run.child == replace(wanted, kept=())
    assert run.checkpoint == Checkpoint(0, (), {}, "", (), wanted.kept)
    [found] = catalog.children(parent.id)
    assert (found.id, found.parent, found.pipeline, found.step) == (run.id, parent.id, "rows", "each")
    assert (found.member, found.size, found.state, found.status) == ("2026/a.csv", 500, State.LEASED, Status.PROCESSING)


def test_the_runs_that_the_router_sends_on_their_way_are_nobodys_children(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    assert claimed(ledger).child is None
    assert (catalog.children(arrival.file_id), record(catalog, arrival.file_id).waits) == ([], 0)


def test_a_child_has_the_same_id_for_everybody_and_another_for_anything_else() -> None:
    one = a_child("a")
    others = [
        replace(one, **change) for change in ({"member": "b"}, {"pipeline": "p"}, {"step": "s"}, {"revision": "r"})
    ]
    assert one.id("R") == a_child("a", size=7).id("R")
    assert len({child.id(parent) for child in (one, *others) for parent in ("R", "S")}) == 10


def test_a_call_that_is_made_again_makes_nothing_again(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    run = claimed(ledger)
    assert ledger.spawn([a_call(run, *THREE[:2])]) == [[True, True]]
    [first, _] = children(ledger, 2)
    ledger.settle([transferred(first)])
    assert ledger.spawn([a_call(run, *THREE)]) == [[False, True, True]]
    assert record(catalog, arrival.file_id).waits == 2
    assert [r.child and r.child.member for r in ledger.claim("worker", 10, 30)] == ["c"]
    assert kinds(catalog, arrival.file_id) == ["arrived", "spawned", "child.transferred", "spawned"]


def test_a_stale_token_spawns_nothing(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    [arrival] = arrived(ledger)
    stale = claimed(ledger)
    clock.forward(31)
    ledger.sweep()
    held = claimed(ledger)
    calls = [a_call(stale, a_child("a")), a_call(held, a_child("b"))]
    assert ledger.spawn(calls) == [None, [True]]
    assert [child.member for child in catalog.children(arrival.file_id)] == ["b"]


def test_an_unknown_run_spawns_nothing(ledger: Ledger) -> None:
    arrived(ledger)
    run = claimed(ledger)
    assert ledger.spawn([a_call(replace(run, id="nobody"))]) == [None]
    assert ledger.spawn([]) == []


def test_more_than_many_children_are_refused_and_more_calls_do(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    run = claimed(ledger)
    all_of_them = [a_child(f"{n:03}") for n in range(MANY + 50)]
    with pytest.raises(ValueError, match="at most 100"):
        ledger.spawn([a_call(run, *all_of_them)])
    for start in (0, MANY):
        ledger.spawn([a_call(run, *all_of_them[start : start + MANY])])
    page = catalog.children(run.id, limit=MANY)
    rest = catalog.children(run.id, limit=MANY, after=page[-1].id)
    assert {child.member for child in (*page, *rest)} == {child.member for child in all_of_them}
    assert len(page) + len(rest) == record(catalog, arrival.file_id).waits == MANY + 50


def test_the_children_of_one_customer_do_not_starve_another(ledger: Ledger) -> None:
    arrived(ledger, customer="acme")
    parent_of(ledger, *(a_child(str(n)) for n in range(MANY)))
    arrived(ledger, customer="globex")
    runs = ledger.claim("worker", 3, 30)
    assert "globex" in {run.arrival.customer for run in runs}


def test_a_large_child_comes_alone(ledger: Ledger) -> None:
    arrived(ledger)
    parent_of(ledger, a_child("a"), a_child("b", size=1 << 30))
    assert [len(ledger.claim("worker", 10, 30)) for _ in range(3)] == [1, 1, 0]


# -- waiting and going on


def test_a_parent_waits_for_the_last_of_its_children(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    parent_of(ledger, *THREE)
    for left, run in zip((2, 1, 0), children(ledger, 3)):
        assert record(catalog, arrival.file_id).state == State.WAITING
        ledger.settle([transferred(run)])
        assert record(catalog, arrival.file_id).waits == left
    found = record(catalog, arrival.file_id)
    assert (found.state, found.status, found.attempts) == (State.READY, Status.QUEUED, 0)
    again = claimed(ledger)
    assert (again.id, again.token, again.child) == (arrival.file_id, 2, None)
    expected = ["arrived", "spawned", "waiting", *["child.transferred"] * 3, "resumed"]
    assert kinds(catalog, arrival.file_id) == expected


def test_children_that_end_in_one_call_wake_their_parent_once(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    parent_of(ledger, *THREE)
    assert ledger.settle([transferred(run) for run in children(ledger, 3)]) == [True] * 3
    assert kinds(catalog, arrival.file_id)[-1] == "resumed"
    assert record(catalog, arrival.file_id).state == State.READY


def test_a_parent_whose_children_ended_before_it_waits_is_ready_at_once(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    run = claimed(ledger)
    ledger.spawn([a_call(run)])
    ledger.settle([transferred(claimed(ledger))])
    assert record(catalog, arrival.file_id).state == State.LEASED
    assert ledger.settle([waiting(run)]) == [True]
    assert record(catalog, arrival.file_id).state == State.READY
    assert claimed(ledger).id == arrival.file_id


def test_a_parent_and_its_child_may_be_settled_in_one_call(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    run = claimed(ledger)
    ledger.spawn([a_call(run)])
    child = claimed(ledger)
    assert ledger.settle([waiting(run), transferred(child)]) == [True, True]
    assert record(catalog, arrival.file_id).state == State.READY


@pytest.mark.parametrize("settle", [transferred, failed, quarantined])
def test_however_a_child_ends_its_parent_goes_on(settle: object, ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    parent_of(ledger)
    ledger.settle([settle(claimed(ledger))])  # type: ignore[operator]
    assert record(catalog, arrival.file_id).state == State.READY


def test_a_child_that_is_tried_again_keeps_its_parent_waiting(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    [arrival] = arrived(ledger)
    parent_of(ledger)
    ledger.settle([retried(claimed(ledger), START + 10)])
    assert (record(catalog, arrival.file_id).state, claim_nothing(ledger)) == (State.WAITING, True)
    [found] = catalog.children(arrival.file_id)
    assert (found.attempts, found.due, found.error_message) == (1, START + 10, "UNREACHABLE: no route to host")
    clock.forward(11)
    run = claimed(ledger)
    assert run.tries == 1
    ledger.settle([transferred(run)])
    assert record(catalog, arrival.file_id).state == State.READY
    assert "child.retry" in kinds(catalog, arrival.file_id)


def claim_nothing(ledger: Ledger) -> bool:
    return ledger.claim("worker", 10, 30) == []


def test_a_child_that_is_released_or_swept_keeps_its_parent_waiting(
    ledger: Ledger, catalog: Catalog, clock: Clock
) -> None:
    [arrival] = arrived(ledger)
    parent_of(ledger)
    ledger.release([lease(claimed(ledger))])
    run = claimed(ledger)
    clock.forward(31)
    assert ledger.sweep() == [run.id]
    assert record(catalog, arrival.file_id).waits == 1
    assert kinds(catalog, arrival.file_id)[-2:] == ["child.released", "child.expired"]
    assert claimed(ledger).solo


def test_a_child_that_is_poison_wakes_its_parent(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    [arrival] = arrived(ledger)
    parent_of(ledger)
    for _ in range(3):
        claimed(ledger)
        clock.forward(31)
        ledger.sweep()
    [found] = catalog.children(arrival.file_id)
    assert (found.state, found.status) == (State.DEAD, Status.QUARANTINED)
    assert record(catalog, arrival.file_id).state == State.READY


def test_a_settle_that_comes_too_late_wakes_nobody(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    [arrival] = arrived(ledger)
    parent_of(ledger, *THREE)
    [stale, *_] = children(ledger, 3)
    clock.forward(31)
    ledger.sweep()
    assert ledger.settle([transferred(stale)]) == [False]
    assert record(catalog, arrival.file_id).waits == 3
    event = catalog.events(arrival.file_id)[-1]
    assert (event.kind, event.data["run"], event.data["member"]) == ("child.stale", stale.id, "a")


def test_a_child_waits_for_children_of_its_own(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    parent_of(ledger, a_child(pipeline="outer", step="one"))
    middle = parent_of(ledger, a_child(pipeline="inner", step="two"))
    inner = claimed(ledger)
    assert (inner.child and inner.child.pipeline, inner.arrival.file_id) == ("inner", arrival.file_id)
    ledger.settle([transferred(inner)])
    assert record(catalog, arrival.file_id).state == State.WAITING
    again = claimed(ledger)
    assert again.id == middle.id
    ledger.settle([transferred(again)])
    assert record(catalog, arrival.file_id).state == State.READY
    assert [child.id for child in catalog.children(middle.id)] == [inner.id]


def test_an_unrouted_file_does_not_wait_for_children(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    ledger.settle([unrouted(claimed(ledger))])
    assert claim_nothing(ledger)
    assert catalog.counts().unrouted == 1


def test_who_waits_for_children_is_not_unrouted(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    parent_of(ledger, *THREE)
    counts = catalog.counts()
    assert (counts.unrouted, counts.files[Status.PROCESSING]) == (0, 1)
    assert (counts.runs[State.WAITING], counts.children[State.READY]) == (1, 3)
    assert (sum(counts.runs.values()), sum(counts.files.values())) == (1, 1)


def test_children_are_no_files(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    parent_of(ledger, *THREE)
    ledger.settle([failed(run) for run in children(ledger, 3)])
    assert [found.file_id for found in catalog.files(Filter())] == [arrival.file_id]
    assert catalog.files(Filter(status=Status.FAILED)) == []
    assert ledger.knows([child.id for child in catalog.children(arrival.file_id)]) == [False] * 3


# -- finding files by what was called for them


@pytest.mark.parametrize(
    "filter", [Filter(pipeline="deep"), Filter(revision="eee"), Filter(pipeline="deep", revision="e" * 64)]
)
def test_a_file_is_found_by_a_run_that_was_called_for_it(ledger: Ledger, catalog: Catalog, filter: Filter) -> None:
    arrived(ledger)
    run = parent_of(ledger, a_child("a"))
    assert catalog.files(Filter(pipeline="deep")) == []
    parent_of(ledger, a_child("b", pipeline="deep"))
    assert [each.file_id for each in catalog.files(filter)] == [run.id]
    for more in ({"customer": "acme"}, {"status": Status.PROCESSING}, {"until": START + 1}):
        assert [each.file_id for each in catalog.files(replace(filter, **more))] == [run.id]
    assert catalog.files(replace(filter, is_own=True)) == []


def test_pipeline_and_revision_must_be_of_one_run(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    run = claimed(ledger)
    ledger.spawn([a_call(run, a_child("a"))])
    ledger.settle([transferred(run)])

    def found(pipeline: str, revision: str) -> list[str]:
        return [each.file_id for each in catalog.files(Filter(pipeline=pipeline, revision=revision))]

    assert found("claims", "f") == found("rows", "e") == [arrival.file_id]
    assert found("claims", "e") == found("rows", "f") == []


# -- families


def test_a_family_says_how_each_child_ended(ledger: Ledger) -> None:
    arrived(ledger)
    run = parent_of(ledger, *THREE, a_child("d"))
    first, second, third, _ = children(ledger, 4)
    delivered = transferred(first).delivered
    ledger.settle([transferred(first), failed(second), quarantined(third)])
    [family, none] = ledger.families([(run.id, "CALL"), (run.id, "another")])
    assert none == Family(0, 0, 0, 0)
    assert (family.pending, family.transferred, family.failed, family.quarantined) == (1, 1, 1, 1)
    assert {*family.troubles} == {
        ("b", Status.FAILED, "UNREACHABLE: no route to host"),
        ("c", Status.QUARANTINED, "MALFORMED: not gzip"),
    }
    assert (family.delivered, family.count) == (delivered, 4)


def test_a_family_names_some_deliveries_and_counts_all(ledger: Ledger) -> None:
    arrived(ledger)
    run = parent_of(ledger, *THREE)
    one, two, _ = children(ledger, 3)
    effect = transferred(one).delivered[0]
    many = tuple(replace(effect, key=str(n)) for n in range(MANY + 5))
    ledger.settle([replace(transferred(one), delivered=many), replace(transferred(two), unnamed=20)])
    [family] = ledger.families([(run.id, "CALL")])
    assert (len(family.delivered), family.unnamed) == (MANY, 26)


def test_a_family_tells_which_of_its_children_delivered_other_bytes_under_one_name(ledger: Ledger) -> None:
    arrived(ledger)
    run = parent_of(ledger, *THREE)
    one, two, three = children(ledger, 3)
    ledger.settle([delivering(one, "x", "1"), delivering(two, "y", "2"), delivering(three, "x", "3")])
    assert ledger.families([(run.id, "CALL")])[0].clash == Clash("archive", "x", "a", "c")


def test_of_several_clashes_the_first_by_bytes_is_told_and_so_are_its_children(ledger: Ledger) -> None:
    arrived(ledger)
    run = parent_of(ledger, *(a_child(member) for member in ("a", "B", "c", "D")))
    b, d, a, c = children(ledger, 4)
    ledger.settle([delivering(a, "x", "1"), delivering(b, "x", "2"), delivering(c, "X", "3"), delivering(d, "X", "4")])
    assert ledger.families([(run.id, "CALL")])[0].clash == Clash("archive", "X", "D", "c")


def test_the_same_bytes_under_one_name_and_others_under_others_clash_with_nothing(ledger: Ledger) -> None:
    arrived(ledger)
    run = parent_of(ledger, *THREE)
    one, two, three = children(ledger, 3)
    ledger.settle([delivering(one, "x", "1"), delivering(two, "y", "2"), delivering(three, "x", "1")])
    assert ledger.families([(run.id, "CALL")])[0].clash is None


def delivering(run: Run, key: str, sha256: str) -> Outcome:
    done = transferred(run)
    return replace(done, delivered=(replace(done.delivered[0], key=key, sha256=sha256),))


def test_files_that_went_on_without_children_are_counted_until_they_run_again(
    ledger: Ledger, catalog: Catalog, database: Database
) -> None:
    arrivals = arrived(ledger, 2)
    failure = Failure("INCOMPLETE", "1 of 3 members quarantined: b: MALFORMED: not gzip", "each")
    ledger.settle([replace(transferred(run), failure=failure) for run in ledger.claim("worker", 2, 30)])
    assert catalog.counts().incomplete == 2
    found = record(catalog, arrivals[0].file_id)
    assert (found.status, found.error_message) == (Status.TRANSFERRED, f"INCOMPLETE: {failure.message}")
    ledger.replay([arrivals[0].file_id])
    assert catalog.counts().incomplete == 1
    database.purges.order([arrivals[1].file_id], by="ann")
    assert catalog.counts().incomplete == 0


def test_a_child_that_went_on_without_children_makes_its_family_incomplete(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    run = parent_of(ledger, *THREE[:2])
    one, two = children(ledger, 2)
    ledger.settle([replace(transferred(one), failure=Failure("INCOMPLETE", "1 of 2 ...")), transferred(two)])
    [family] = ledger.families([(run.id, "CALL")])
    assert (family.transferred, family.incomplete) == (2, 1)
    assert family.troubles == (("a", Status.TRANSFERRED, "INCOMPLETE: 1 of 2 ..."),)
    assert catalog.counts().incomplete == 0


def test_a_family_tells_few_troubles_and_counts_all(ledger: Ledger) -> None:
    arrived(ledger)
    run = parent_of(ledger, *(a_child(str(n)) for n in range(20)))
    ledger.settle([failed(each) for each in children(ledger, 20)])
    [family] = ledger.families([(run.id, "CALL")])
    assert (family.failed, len(family.troubles)) == (20, TROUBLES)


def test_a_childs_trouble_without_a_member_is_told_by_its_pipeline(ledger: Ledger) -> None:
    arrived(ledger)
    run = parent_of(ledger, a_child(pipeline="lake"))
    ledger.settle([failed(claimed(ledger))])
    assert ledger.families([(run.id, "CALL")])[0].troubles == (
        ("lake", Status.FAILED, "UNREACHABLE: no route to host"),
    )


# -- replay


def test_a_file_is_not_replayed_while_children_are_left(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    parent_of(ledger)
    assert ledger.replay([arrival.file_id]) == [False]
    run = claimed(ledger)
    assert ledger.replay([arrival.file_id]) == [False]
    ledger.settle([transferred(run)])
    ledger.settle([failed(claimed(ledger))])
    assert ledger.replay([arrival.file_id]) == [True]


def test_a_child_is_not_replayed_by_itself(ledger: Ledger) -> None:
    arrived(ledger)
    parent_of(ledger)
    run = claimed(ledger)
    ledger.settle([failed(run)])
    assert ledger.replay([run.id]) == [False]


def test_a_replayed_parent_has_its_children_run_again(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    parent_of(ledger, *THREE[:2])
    good, bad = children(ledger, 2)
    ledger.settle([transferred(good), failed(bad)])
    ledger.settle([failed(claimed(ledger))])
    ledger.replay([arrival.file_id])
    run = claimed(ledger)
    assert ledger.spawn([a_call(run, *THREE[:2], id="AGAIN")]) == [[True, True]]
    again = children(ledger, 2)
    assert [each.id for each in again] == [good.id, bad.id]
    assert [(each.token, each.tries, each.replays) for each in again] == [(2, 0, 1)] * 2
    assert ledger.families([(run.id, "AGAIN")])[0].pending == 2
    assert ledger.families([(run.id, "CALL")])[0].count == 0
    ledger.settle([transferred(each) for each in again])
    ledger.settle([waiting(run)])
    assert record(catalog, arrival.file_id).state == State.READY


def test_a_child_that_is_still_at_work_is_taken_over_by_a_new_call(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    run = claimed(ledger)
    ledger.spawn([a_call(run, a_child())])
    child = claimed(ledger)
    assert ledger.spawn([a_call(run, a_child(), id="CHANGED")]) == [[True]]
    ledger.settle([waiting(run), transferred(child)])
    assert record(catalog, arrival.file_id).waits == 0
    assert ledger.families([(run.id, "CHANGED")])[0].transferred == 1


def test_a_parent_that_dies_before_its_children_goes_nowhere(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    run = claimed(ledger)
    ledger.spawn([a_call(run)])
    ledger.settle([failed(run)])
    ledger.settle([transferred(claimed(ledger))])
    found = record(catalog, arrival.file_id)
    assert (found.state, found.status, found.waits) == (State.DEAD, Status.FAILED, 0)
    assert ledger.replay([arrival.file_id]) == [True]


# -- what checkpoints keep


def test_what_is_kept_for_a_child_is_of_no_use_once_it_has_ended(ledger: Ledger) -> None:
    arrived(ledger)
    wanted = a_child("a", kept=True)
    parent_of(ledger, wanted)
    run = claimed(ledger)
    assert ledger.obsolete_checkpoints() == []
    ledger.settle([transferred(run)])
    [obsolete] = ledger.obsolete_checkpoints()
    assert (obsolete.run, obsolete.checkpoint and obsolete.checkpoint.kept) == (run.id, wanted.kept)
    assert ledger.drop_checkpoints([obsolete]) == [True]


def test_what_a_parent_keeps_is_of_use_while_it_waits(ledger: Ledger) -> None:
    arrived(ledger)
    run = claimed(ledger)
    ledger.spawn([a_call(run)])
    checkpoint = Checkpoint(1, (), {}, "f" * 64)
    ledger.extend([Lease(run.id, run.token, checkpoint)], 30)
    ledger.settle([waiting(run)])
    assert ledger.obsolete_checkpoints() == []
    ledger.settle([transferred(claimed(ledger))])
    again = claimed(ledger)
    assert again.checkpoint == checkpoint
    ledger.settle([transferred(again)])
    assert [each.run for each in ledger.obsolete_checkpoints()] == [run.id]


def test_what_a_dead_parent_keeps_is_of_use_while_children_are_left(ledger: Ledger) -> None:
    arrived(ledger)
    run = claimed(ledger)
    ledger.spawn([a_call(run)])
    ledger.extend([Lease(run.id, run.token, Checkpoint(1, (), {}, "f" * 64))], 30)
    ledger.settle([failed(run)])
    assert ledger.obsolete_checkpoints() == []
    ledger.settle([transferred(claimed(ledger))])
    assert [each.run for each in ledger.obsolete_checkpoints()] == [run.id]


# -- together


def test_two_who_settle_the_last_two_children_wake_the_parent_once(
    database: Database, open_database: Callable[[], Database]
) -> None:
    other = open_database()
    for _ in range(10):
        [arrival] = arrived(database.ledger)
        run = parent_of(database.ledger, *THREE[:2])
        first, second = children(database.ledger, 2)
        with ThreadPoolExecutor(2) as threads:
            pairs = [(database.ledger, first), (other.ledger, second)]
            assert [*threads.map(lambda pair: pair[0].settle([transferred(pair[1])]), pairs)] == [[True], [True]]
        found = record(database.catalog, arrival.file_id)
        assert (found.state, found.waits) == (State.READY, 0)
        again = claimed(database.ledger)
        assert again.id == run.id
        database.ledger.settle([transferred(again)])


def test_a_parent_that_begins_to_wait_while_its_child_ends_is_woken(
    database: Database, open_database: Callable[[], Database]
) -> None:
    other = open_database()
    for _ in range(10):
        [arrival] = arrived(database.ledger)
        run = claimed(database.ledger)
        database.ledger.spawn([a_call(run, THREE[0])])
        [child] = children(database.ledger, 1)
        with ThreadPoolExecutor(2) as threads:
            jobs = [(database.ledger, waiting(run)), (other.ledger, transferred(child))]
            assert [*threads.map(lambda job: job[0].settle([job[1]]), jobs)] == [[True], [True]]
        assert record(database.catalog, arrival.file_id).state == State.READY
        database.ledger.settle([transferred(claimed(database.ledger))])


# -- cancel


def stand(catalog: Catalog, run: str) -> list[tuple[State, Status]]:
    return [(child.state, child.status) for child in catalog.children(run)]


def test_children_are_cancelled_with_their_file(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    parent = parent_of(ledger, a_child("a"), a_child("b"), a_child("c"))
    done, leased = ledger.claim("worker", 2, 30)
    ledger.settle([transferred(done)])
    assert ledger.cancel([parent.id], "ann") == [True]
    assert len(ledger.cancel_children()) == 2
    assert ledger.cancel_children() == []
    assert sorted(stand(catalog, parent.id)) == [(State.CANCELLED, Status.FAILED)] * 2 + [
        (State.DONE, Status.TRANSFERRED)
    ]
    record = catalog.file(parent.id)
    assert record
    assert (record.state, record.status, record.waits) == (State.CANCELLED, Status.FAILED, 0)
    assert ledger.claim("worker", 10, 30) == []
    events = catalog.events(parent.id)
    assert chain.verify(events) == []
    assert [event.kind for event in events if "cancelled" in event.kind] == [
        "cancelled",
        "child.cancelled",
        "child.cancelled",
    ]
    assert leased.id in {event.data.get("run") for event in events}


def test_a_worker_that_had_a_cancelled_child_changes_nothing(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    parent = parent_of(ledger, a_child("a"))
    zombie = claimed(ledger)
    ledger.cancel([parent.id], "ann")
    assert ledger.cancel_children() == [zombie.id]
    assert ledger.extend([lease(zombie)], 30) == [False]
    assert ledger.spawn([a_call(zombie, a_child("x"))]) == [None]
    assert ledger.settle([transferred(zombie)]) == [False]
    assert stand(catalog, parent.id) == [(State.CANCELLED, Status.FAILED)]
    record = catalog.file(parent.id)
    assert record
    assert (record.state, record.waits) == (State.CANCELLED, 0)


def test_a_parent_is_not_woken_by_a_cancelled_child_nor_by_one_that_ends_meanwhile(
    ledger: Ledger, catalog: Catalog
) -> None:
    arrived(ledger)
    parent = parent_of(ledger, a_child("a"), a_child("b"))
    child = claimed(ledger)
    ledger.cancel([parent.id], "ann")
    assert ledger.settle([transferred(child)]) == [True]
    assert len(ledger.cancel_children()) == 1
    assert ledger.claim("worker", 10, 30) == []
    assert "resumed" not in [event.kind for event in catalog.events(parent.id)]


def test_children_of_children_are_cancelled_as_well(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    parent = parent_of(ledger, a_child("a"))
    child = parent_of(ledger, a_child("x"), a_child("y"))
    ledger.cancel([parent.id], "ann")
    assert ledger.cancel_children() == [child.id]
    assert len(ledger.cancel_children()) == 2
    assert ledger.cancel_children() == []
    assert stand(catalog, child.id) == [(State.CANCELLED, Status.FAILED)] * 2
    assert catalog.counts().children[State.CANCELLED] == 3
    assert catalog.counts().children[State.READY] == 0


def test_a_leased_parent_that_is_cancelled_takes_its_children_along(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    run = claimed(ledger)
    ledger.spawn([a_call(run, a_child("a"))])
    ledger.cancel([run.id], "ann")
    assert len(ledger.cancel_children()) == 1
    assert ledger.settle([waiting(run)]) == [False]
    assert stand(catalog, run.id) == [(State.CANCELLED, Status.FAILED)]


def test_a_family_of_many_is_cancelled_in_groups(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    run = claimed(ledger)
    for start in (0, MANY, 2 * MANY):
        ledger.spawn([a_call(run, *(a_child(str(n)) for n in range(start, start + MANY)))])
    ledger.settle([waiting(run)])
    ledger.cancel([run.id], "ann")
    assert [len(ledger.cancel_children()) for _ in range(4)] == [MANY, MANY, MANY, 0]
    record = catalog.file(run.id)
    assert record
    assert record.waits == 0


def test_the_family_of_a_file_that_goes_on_is_left_alone(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    other = parent_of(ledger, a_child("a"))
    [cancelled] = arrived(ledger)
    ledger.cancel([cancelled.file_id], "ann")
    assert ledger.cancel_children() == []
    assert stand(catalog, other.id) == [(State.READY, Status.QUEUED)]


def test_a_child_cannot_be_cancelled_by_itself(ledger: Ledger) -> None:
    arrived(ledger)
    parent_of(ledger, a_child("a"))
    assert ledger.cancel([claimed(ledger).id], "ann") == [False]


def test_a_cancelled_family_can_be_played_again_once_it_has_ended(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    parent = parent_of(ledger, a_child("a"), a_child("b"))
    ledger.cancel([parent.id], "ann")
    assert ledger.replay([parent.id]) == [False]
    ledger.cancel_children()
    assert ledger.replay([parent.id]) == [True]
    again = claimed(ledger)
    assert ledger.spawn([a_call(again, a_child("a"), a_child("b"), id="AGAIN")]) == [[True, True]]
    ledger.settle([waiting(again)])
    ledger.settle([transferred(run) for run in ledger.claim("worker", 10, 30)])
    ledger.settle([transferred(claimed(ledger))])
    record = catalog.file(parent.id)
    assert record
    assert record.status is Status.TRANSFERRED


def test_what_was_kept_for_a_cancelled_child_is_of_no_use(ledger: Ledger) -> None:
    arrived(ledger)
    parent = parent_of(ledger, a_child("a", kept=True))
    ledger.cancel([parent.id], "ann")
    [child] = ledger.cancel_children()
    assert [each.run for each in ledger.obsolete_checkpoints()] == [child]


def test_bytes_of_a_cancelled_file_are_kept_until_its_family_has_ended(ledger: Ledger, database: Database) -> None:
    arrived(ledger)
    parent = parent_of(ledger, a_child("a"))
    ledger.cancel([parent.id], "ann")
    assert database.purges.order([parent.id], by="ann") == [False]
    ledger.cancel_children()
    assert database.purges.order([parent.id], by="ann") == [True]


# -- what people ask


def test_child_runs_that_are_not_transferred_are_found_by_what_they_are(ledger: Ledger, catalog: Catalog) -> None:
    parents = []
    for n in range(2):
        arrived(ledger, at=START + n)
        parents.append(parent_of(ledger, *THREE).id)
        dead, again, _ = children(ledger, 3)
        ledger.settle([failed(dead), retried(again, START + 60)])
    older, newer = parents
    found = catalog.unsettled(Filter(status=Status.FAILED))
    assert [(each.file_id, each.member, each.state) for each in found] == [
        (newer, "a", State.DEAD),
        (older, "a", State.DEAD),
    ]
    assert catalog.unsettled(Filter(status=Status.FAILED), limit=1) == found[:1]
    assert catalog.unsettled(Filter(status=Status.FAILED), after=found[0].id) == found[1:]
    assert catalog.unsettled(Filter(status=Status.FAILED), after=newer) == found
    assert catalog.unsettled(Filter(status=Status.FAILED), after=older) == found[1:]
    later = catalog.unsettled(Filter(status=Status.PROCESSING), state=State.READY)
    assert {(each.member, each.due, each.customer_id) for each in later} == {("b", START + 60, "acme")}
    assert catalog.unsettled(Filter(status=Status.FAILED, error="no route", pipeline="claims", name="acme/*")) == found
    assert catalog.unsettled(Filter(status=Status.FAILED, since=START + 1)) == found[:1]
    for other in ({"error": "x"}, {"customer": "x"}, {"pipeline": "x"}, {"name": "x*"}, {"until": START}):
        assert catalog.unsettled(replace(Filter(status=Status.FAILED), **other)) == []  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="status"):
        catalog.unsettled(Filter())


def test_child_runs_of_files_of_one_instant_are_listed_below_their_file(ledger: Ledger, catalog: Catalog) -> None:
    for _ in range(5):
        arrived(ledger, at=START)
        parent_of(ledger, *THREE)
        ledger.settle([failed(child) for child in children(ledger, 3)[:2]])
    filter = Filter(status=Status.FAILED)
    found = catalog.unsettled(filter)
    assert [(each.file_id, each.id) for each in found] == sorted(
        ((each.file_id, each.id) for each in found), reverse=True
    )
    assert len({each.id for each in found}) == 10
    for n, each in enumerate(found):
        assert catalog.unsettled(filter, after=each.id) == found[n + 1 :]
        assert catalog.unsettled(filter, after=each.file_id) == found[n - n % 2 :]
    assert catalog.unsettled(filter, after="nobody") == []


def test_a_child_run_is_found_by_its_id_or_a_beginning_of_it(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    file_id = parent_of(ledger, *THREE).id
    for child in catalog.children(file_id):
        assert catalog.child(child.id) == catalog.child(child.id[:20]) == child
        assert (child.file_id, catalog.child(child.id[:10])) == (file_id, None)
    assert catalog.child(file_id) is None
