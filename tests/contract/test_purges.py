"""What every Purges promises: bytes are given up only where nothing needs them, once, and for good."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from rig.databases import (
    START,
    Clock,
    a_child,
    an_arrival,
    arrived,
    claimed,
    failed,
    held,
    parent_of,
    quarantined,
    retried,
    transferred,
    unrouted,
)
from wharfinger.ledger import MANY, Catalog, Database, Entry, Filter, Gates, Ledger, Namespace, Purges, chain
from wharfinger.model import Arrival, Event, Outcome, Purge, Run, State, Status


def done(ledger: Ledger, n: int = 1, end: Callable[[Run], Outcome] = transferred, **more: object) -> list[Arrival]:
    """So many files that have ended."""
    arrivals = arrived(ledger, n, **more)
    while runs := ledger.claim("worker", 100, 30):
        assert all(ledger.settle([end(run) for run in runs]))
    return arrivals


def last(catalog: Catalog, file_id: str) -> Event:
    events = catalog.events(file_id)
    assert chain.verify(events) == []
    return events[-1]


def purged(purges: Purges, *files: str) -> list[bool]:
    assert all(purges.order(files, by="ann"))
    return purges.confirm(files)


# -- order


@pytest.mark.parametrize("end", [transferred, failed, quarantined])
def test_the_bytes_of_a_file_that_has_ended_can_be_given_up(
    ledger: Ledger, purges: Purges, catalog: Catalog, clock: Clock, end: Callable[[Run], Outcome]
) -> None:
    [arrival] = done(ledger, end=end)
    before = catalog.file(arrival.file_id)
    clock.forward(60)
    assert purges.order([arrival.file_id], by="ann", rule="old") == [True]
    [order] = purges.ordered()
    assert before
    assert replace(order, purge=None) == arrival
    assert order.purge == Purge(START + 60, "ann", "old", before.status, before.error_message)
    record = catalog.file(arrival.file_id)
    assert record
    assert (record.purged, record.status, record.error_message, record.delivered) == (
        START + 60,
        before.status,
        before.error_message,
        before.delivered,
    )


def test_a_file_that_has_not_ended_keeps_its_bytes(
    ledger: Ledger, gates: Gates, purges: Purges, catalog: Catalog, namespace: Namespace
) -> None:
    gates.pause("claims", "ann")
    arrived(ledger, 4)
    ends = (held, unrouted, lambda run: retried(run, START + 60))
    for end in ends:
        ledger.settle([end(claimed(ledger))])
    claimed(ledger)
    [ready] = arrived(ledger)
    files = [record.file_id for record in catalog.files(Filter())]
    assert len(files) == 5
    assert purges.order(files, by="ann") == [False] * 5
    assert purges.ordered() == []
    assert {record.purged for record in catalog.files(Filter())} == {None}
    assert namespace.look([ready.key]) != [None]


def test_a_file_keeps_its_bytes_while_children_are_left_to_end(
    ledger: Ledger, purges: Purges, clock: Clock, catalog: Catalog
) -> None:
    arrived(ledger)
    parent = parent_of(ledger, a_child("a"), a_child("b"))
    assert purges.order([parent.id], by="ann") == [False]
    ledger.settle([transferred(claimed(ledger))])
    assert purges.order([parent.id], by="ann") == [False]
    ledger.settle([transferred(claimed(ledger))])
    ledger.settle([transferred(claimed(ledger))])
    assert purges.order([parent.id], by="ann") == [True]


def test_a_child_is_no_file_to_purge(ledger: Ledger, purges: Purges) -> None:
    arrived(ledger)
    parent_of(ledger, a_child("a"))
    child = claimed(ledger)
    ledger.settle([transferred(child)])
    assert purges.order([child.id], by="ann") == [False]


def test_bytes_are_given_up_once(ledger: Ledger, purges: Purges) -> None:
    [one, two] = done(ledger, 2)
    ids = [one.file_id, "stranger", two.file_id, one.file_id]
    assert purges.order(ids, by="ann") == [True, False, True, False]
    assert purges.order(ids, by="bob") == [False] * 4
    assert {order.purge.by for order in purges.ordered() if order.purge} == {"ann"}


def test_of_six_who_give_up_the_same_files_one_does(backend: str, open_database: Callable[[], Database]) -> None:
    databases = [open_database() for _ in range(6)]
    files = [arrival.file_id for arrival in done(databases[0].ledger, 20)]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda database: database.purges.order(files, by="x"), databases))
        assert [sum(each) for each in zip(*answers)] == [1] * 20
        confirmed = list(threads.map(lambda database: database.purges.confirm(files), databases))
    assert [sum(each) for each in zip(*confirmed)] == [1] * 20
    assert databases[0].catalog.counts().purged == 20


def test_a_replay_or_a_purge_but_never_both(backend: str, open_database: Callable[[], Database]) -> None:
    one, other = open_database(), open_database()
    files = [arrival.file_id for arrival in done(one.ledger, 60)]
    with ThreadPoolExecutor(2) as threads:
        replayed = threads.submit(lambda: [one.ledger.replay([each]) for each in files])
        ordered = threads.submit(lambda: [other.purges.order([each], by="x") for each in reversed(files)])
        pairs = list(zip(replayed.result(), reversed(ordered.result())))
    assert all(replay != order for replay, order in pairs), pairs


def test_whoever_comes_next_sees_what_was_ordered(
    ledger: Ledger, purges: Purges, open_database: Callable[[], Database]
) -> None:
    [arrival] = done(ledger)
    purges.order([arrival.file_id], by="ann")
    assert [each.file_id for each in open_database().purges.ordered()] == [arrival.file_id]


def test_a_file_without_bytes_cannot_be_replayed(ledger: Ledger, purges: Purges, catalog: Catalog) -> None:
    [arrival] = done(ledger)
    purges.order([arrival.file_id], by="ann")
    assert ledger.replay([arrival.file_id], by="bob") == [False]
    purges.confirm([arrival.file_id])
    assert ledger.replay([arrival.file_id], by="bob") == [False]
    assert last(catalog, arrival.file_id).kind == "purged"
    assert ledger.claim("worker", 10, 30) == []


def test_a_dead_letter_without_bytes_wants_nobody(ledger: Ledger, purges: Purges, catalog: Catalog) -> None:
    [arrival] = done(ledger, end=quarantined)
    assert catalog.counts().runs[State.DEAD] == 1
    purges.order([arrival.file_id], by="ann")
    counts = catalog.counts()
    assert (counts.runs[State.DEAD], counts.runs[State.CANCELLED], counts.files[Status.QUARANTINED]) == (0, 1, 1)


# -- the customers' tree


def test_a_file_without_bytes_is_not_in_the_tree(ledger: Ledger, purges: Purges, namespace: Namespace) -> None:
    one, two = done(ledger, 2)
    purges.order([one.file_id], by="ann")
    assert namespace.look([one.key]) == [None]
    assert [entry.path for entry in namespace.children("acme/inbound")] == [two.key]


def test_nor_is_one_that_was_renamed(ledger: Ledger, purges: Purges, namespace: Namespace) -> None:
    one, two = done(ledger, 2)
    namespace.make([Entry("acme/kept", "dir")])
    namespace.rename(one.key, "acme/kept/new name.csv")
    namespace.rename(two.key, "acme/kept/two.csv")
    namespace.rename("acme/kept", "acme/Ablage")
    assert purges.order([one.file_id], by="ann") == [True]
    assert [entry.path for entry in namespace.children("acme/Ablage")] == ["acme/Ablage/two.csv"]


def test_another_version_under_the_name_stays(ledger: Ledger, purges: Purges, namespace: Namespace) -> None:
    [old] = done(ledger, key="acme/inbound/a.csv")
    [new] = done(ledger, key="acme/inbound/a.csv")
    purges.order([old.file_id], by="ann")
    [entry] = namespace.look(["acme/inbound/a.csv"])
    assert entry
    assert entry.file_id == new.file_id
    purges.order([new.file_id], by="ann")
    assert namespace.look(["acme/inbound/a.csv"]) == [None]


def test_an_unfinished_upload_over_the_file_stays(ledger: Ledger, purges: Purges, namespace: Namespace) -> None:
    [arrival] = done(ledger)
    namespace.make([Entry(arrival.key, "partial", 5, START, staged="S1", user="bob")])
    purges.order([arrival.file_id], by="ann")
    [entry] = namespace.look([arrival.key])
    assert entry
    assert (entry.kind, entry.staged, entry.file_id) == ("partial", "S1", "")
    assert namespace.remove(arrival.key) == "done"
    assert namespace.look([arrival.key]) == [None]


def test_a_name_can_be_used_again(ledger: Ledger, purges: Purges, namespace: Namespace) -> None:
    [old] = done(ledger, key="acme/inbound/a.csv")
    purged(purges, old.file_id)
    [new] = arrived(ledger, key="acme/inbound/a.csv")
    [entry] = namespace.look(["acme/inbound/a.csv"])
    assert entry
    assert entry.file_id == new.file_id


# -- ordered, confirm


def test_what_is_gone_is_told_and_counted(ledger: Ledger, purges: Purges, catalog: Catalog, clock: Clock) -> None:
    one, two, _ = done(ledger, 3)
    purges.order([one.file_id, two.file_id], by="ann", rule="old")
    counts = catalog.counts()
    assert (counts.purging, counts.purged, counts.purged_bytes) == (2, 0, 0)
    clock.forward(5)
    assert purges.confirm([one.file_id]) == [True]
    counts = catalog.counts()
    assert (counts.purging, counts.purged, counts.purged_bytes, counts.bytes) == (1, 1, one.size, 3 * one.size)
    event = last(catalog, one.file_id)
    assert (event.kind, event.at) == ("purged", START + 5)
    assert event.data == {"by": "ann", "ordered": START, "size": one.size, "rule": "old"}
    assert [each.file_id for each in purges.ordered()] == [two.file_id]
    assert last(catalog, two.file_id).kind == "transferred"


def test_only_what_is_ordered_is_confirmed_and_once(ledger: Ledger, purges: Purges, catalog: Catalog) -> None:
    one, two = done(ledger, 2)
    purges.order([one.file_id], by="ann")
    assert purges.confirm([one.file_id, one.file_id, two.file_id, "stranger"]) == [True, False, False, False]
    assert purges.confirm([one.file_id]) == [False]
    assert [event.kind for event in catalog.events(one.file_id)] == ["arrived", "transferred", "purged"]
    assert catalog.counts().purged == 1


def test_at_most_many_are_ordered_at_a_time(ledger: Ledger, purges: Purges) -> None:
    arrivals = done(ledger, MANY + 5)
    for some in (arrivals[:MANY], arrivals[MANY:]):
        purges.order([each.file_id for each in some], by="ann")
    first = [each.file_id for each in purges.ordered()]
    assert len(first) == MANY
    rest = [each.file_id for each in purges.ordered(after=first[-1])]
    assert first + rest == sorted(each.file_id for each in arrivals)
    assert purges.ordered(after=rest[-1]) == []
    purges.confirm(first)
    assert len(purges.ordered()) == 5


def test_more_than_many_are_refused_and_none_are_no_error(purges: Purges) -> None:
    for verb in (lambda files: purges.order(files, by="ann"), purges.confirm):
        with pytest.raises(ValueError, match="at most 100"):
            verb(["F"] * (MANY + 1))
        assert verb([]) == []
    assert purges.ordered() == []


def test_files_whose_bytes_are_kept_can_be_looked_through(ledger: Ledger, purges: Purges, catalog: Catalog) -> None:
    arrivals = sorted(done(ledger, 5), key=lambda arrival: arrival.file_id)
    purges.order([arrivals[1].file_id, arrivals[3].file_id], by="ann")
    kept = [arrivals[n].file_id for n in (4, 2, 0)]
    assert [record.file_id for record in catalog.files(Filter(is_kept=True))] == kept
    first = catalog.files(Filter(is_kept=True, until=START + 1, customer="acme"), limit=1)
    assert [record.file_id for record in first] == kept[:1]
    rest = catalog.files(Filter(is_kept=True, until=START + 1), after=kept[0])
    assert [record.file_id for record in rest] == kept[1:]
    assert len(catalog.files(Filter())) == 5


# -- arrive, of a ledger that was lost


@pytest.mark.parametrize(
    ("status", "error", "state"),
    [
        (Status.TRANSFERRED, "", State.DONE),
        (Status.TRANSFERRED, "INCOMPLETE: 1 of 2 members failed: a: EIO", State.DONE),
        (Status.QUARANTINED, "MALFORMED: not gzip: at all", State.CANCELLED),
        (Status.FAILED, "CANCELLED: by ann", State.CANCELLED),
    ],
)
def test_a_purge_outlives_the_ledger(
    ledger: Ledger,
    purges: Purges,
    catalog: Catalog,
    namespace: Namespace,
    status: Status,
    error: str,
    state: State,
) -> None:
    purge = Purge(START + 60, "ann", "old", status, error)
    arrival = replace(an_arrival(), purge=purge)
    assert ledger.arrive([arrival]) == [True]
    assert ledger.arrive([arrival]) == [False]
    record = catalog.file(arrival.file_id)
    assert record
    assert (record.status, record.state, record.error_message, record.purged) == (status, state, error, START + 60)
    assert [event.kind for event in catalog.events(arrival.file_id)] == ["arrived", str(status), "purged"]
    assert last(catalog, arrival.file_id).data["rule"] == "old"
    told = catalog.events(arrival.file_id)[1].data.get("error", {"code": "", "message": ""})
    assert f"{told['code']}: {told['message']}".removeprefix(": ") == error
    assert namespace.look([arrival.key]) == [None]
    assert (ledger.claim("worker", 10, 30), purges.ordered()) == ([], [])
    assert ledger.replay([arrival.file_id]) == [False]
    counts = catalog.counts()
    assert (counts.files[status], counts.purged, counts.purging, counts.incomplete) == (1, 1, 0, 0)
