from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from rig.databases import START, Clock, claimed, failed, quarantined, transferred
from rig.records import record
from rig.waiting import wait_until
from wharfinger.config.settings import Retention
from wharfinger.engine.purge import Purged, Stays, carry_out, order
from wharfinger.engine.retention import DAY_S, Retainer, due, kept_s, retain, rule_for, shortest_s
from wharfinger.errors import NotFound, StoreError
from wharfinger.ledger import MANY, Database
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import Arrival, ObjectRef, State, Status, ulid
from wharfinger.store import Put, noted_purge
from wharfinger.store.local import LocalStore

RULES = {
    "kept": Retention(customer=("acme",), key=("inbound/legal/**",)),
    "claims": Retention(pipeline=("claims*",), transferred_days=10, quarantined_days=100),
    "rest": Retention(transferred_days=30, failed_days=60),
}


@dataclass
class Place:
    database: Database
    store: LocalStore
    clock: Clock
    root: Path

    def take(self, name: str, content: bytes = b"a,b\n", customer: str = "acme") -> Arrival:
        version = ulid(self.clock.now, len(name) + sum(map(ord, name)))
        sha256 = hashlib.sha256(content).hexdigest()
        key = f"{customer}/inbound/{name}"
        arrival = Arrival("inbox", key, version, len(content), sha256, customer, self.clock.now)
        path = self.store.staging / version
        path.write_bytes(content)
        assert self.store.put([Put(arrival.ref, path)]) == [None]
        assert self.database.ledger.arrive([arrival]) == [True]
        return arrival

    def round(self, rules: dict[str, Retention]) -> tuple[int, int]:
        database = self.database
        went = [*retain(database.catalog, database.purges, self.store, rules, stays={}, clock=self.clock)]
        return sum(each.files for each in went), sum(each.bytes for each in went)

    def has(self, *arrivals: Arrival) -> list[bool]:
        return [size is not None for size in self.store.head([each.ref for each in arrivals])]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    clock = Clock()
    place = Place(SqliteDatabase(tmp_path / "ledger.db", clock=clock), LocalStore(tmp_path / "store"), clock, tmp_path)
    yield place
    place.store.close()
    place.database.close()


# -- rules


def test_the_first_rule_that_fits_decides() -> None:
    assert rule_for(record(key="acme/inbound/legal/a.pdf", pipeline="claims"), RULES) == "kept"
    assert rule_for(record(key="acme/inbound/a.pdf", pipeline="claims-2"), RULES) == "claims"
    assert rule_for(record(customer_id="globex", key="globex/inbound/legal/a", pipeline="x"), RULES) == "rest"
    assert rule_for(record(), {"other": Retention(customer=("globex",), failed_days=1)}) is None


def test_a_rule_gives_each_end_its_time() -> None:
    rule = RULES["claims"]
    assert [kept_s(rule, status) for status in (Status.TRANSFERRED, Status.FAILED, Status.QUARANTINED)] == [
        10 * DAY_S,
        None,
        100 * DAY_S,
    ]
    assert kept_s(rule, Status.PROCESSING) is None


def test_the_shortest_time_is_that_of_all_rules() -> None:
    assert shortest_s(RULES) == 10 * DAY_S
    assert shortest_s({"kept": Retention()}) is None
    assert shortest_s({}) is None


def test_the_time_counts_from_the_end(place: Place) -> None:
    place.take("a.csv")
    place.clock.forward(5 * DAY_S)
    run = claimed(place.database.ledger)
    place.database.ledger.settle([transferred(run)])
    catalog = place.database.catalog
    ended = catalog.file(run.id)
    assert ended
    assert due(catalog, ended, RULES, place.clock.now + 9.9 * DAY_S) == ""
    assert due(catalog, ended, RULES, place.clock.now + 10 * DAY_S) == "claims"


def test_of_a_dead_letter_its_last_end_counts(place: Place) -> None:
    place.take("a.csv")
    ledger, catalog = place.database.ledger, place.database.catalog
    for _ in range(2):
        run = claimed(ledger)
        ledger.settle([quarantined(run)])
        place.clock.forward(99 * DAY_S)
        ledger.replay([run.id])
    again = claimed(ledger)
    ledger.settle([quarantined(again)])
    ended = catalog.file(again.id)
    assert ended
    assert due(catalog, ended, RULES, place.clock.now + 99 * DAY_S) == ""
    assert due(catalog, ended, RULES, place.clock.now + 100 * DAY_S) == "claims"


def test_nothing_is_due_that_is_in_work_or_gone_or_kept_for_ever(place: Place) -> None:
    catalog, late = place.database.catalog, START + 1000 * DAY_S
    assert due(catalog, record(state=State.READY), RULES, late) == ""
    over = {"status": Status.TRANSFERRED, "state": State.DONE, "transfer_timestamp": START}
    assert due(catalog, record(**over), RULES, late) == "claims"
    assert due(catalog, record(**over, waits=1), RULES, late) == ""
    assert due(catalog, record(**over, purged=START), RULES, late) == ""
    assert due(catalog, record(**over, key="acme/inbound/legal/a"), RULES, late) == ""


# -- rounds


def test_a_round_removes_what_is_due_and_nothing_else(place: Place) -> None:
    ledger = place.database.ledger
    old, legal, broken = place.take("old.csv", b"12345"), place.take("legal/x.csv"), place.take("broken.csv")
    for end in (transferred, transferred, failed):
        ledger.settle([end(claimed(ledger))])
    place.clock.forward(11 * DAY_S)
    young, waiting = place.take("young.csv"), place.take("waiting.csv")
    ledger.settle([transferred(claimed(ledger))])
    assert place.round(RULES) == (1, 5)
    assert place.has(old, legal, broken, young, waiting) == [False, True, True, True, True]
    assert place.round(RULES) == (0, 0)
    event = place.database.catalog.events(old.file_id)[-1]
    assert (event.kind, event.data["by"], event.data["rule"]) == ("purged", "retention", "claims")
    place.clock.forward(1000 * DAY_S)
    assert place.round({"kept": Retention()}) == (0, 0)


def test_a_round_goes_through_all_pages(place: Place) -> None:
    ledger = place.database.ledger
    arrivals = [place.take(f"{n}.csv") for n in range(250)]
    while runs := ledger.claim("worker", 100, 30):
        ledger.settle([transferred(run) for run in runs])
    place.clock.forward(10 * DAY_S + 1)
    assert place.round(RULES) == (250, 1000)
    assert not any(place.has(*arrivals))


def test_a_round_begins_with_what_an_earlier_one_left(place: Place) -> None:
    arrival = place.take("a.csv")
    place.database.ledger.settle([transferred(claimed(place.database.ledger))])
    assert order(place.database.purges, [arrival.file_id], by="ann") == [True]
    assert place.round({"kept": Retention()}) == (1, 4)
    assert place.has(arrival) == [False]


def test_the_journal_knows_what_was_purged_before_it_is_gone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    arrival = place.take("a.csv")
    place.database.ledger.settle([transferred(claimed(place.database.ledger))])
    order(place.database.purges, [arrival.file_id], by="ann", rule="old")
    monkeypatch.setattr(place.store, "delete", lambda _: pytest.fail("stop"))
    with pytest.raises(pytest.fail.Exception):
        next(carry_out(place.database.purges, place.store, {}))
    [noted] = [noted_purge(note) for note in place.store.notes()]
    assert noted == place.database.purges.ordered()[0]
    assert place.has(arrival) == [True]
    monkeypatch.undo()
    assert [*carry_out(place.database.purges, place.store, {})] == [Purged(1, 4)]
    with pytest.raises(NotFound):
        place.store.open(ObjectRef("inbox", arrival.key, arrival.version, 0, ""))
    assert [*place.store.verify()] == []


def in_the_way(place: Place, arrival: Arrival) -> Path:
    """Something lies where the object was that no unlink removes."""
    [path] = (place.root / "store" / "objects").rglob(arrival.file_id)
    path.unlink()
    (path / "in it").mkdir(parents=True)
    return path


def test_a_store_that_refuses_all_is_not_asked_of_every_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, purges = place.database.ledger, place.database.purges
    stuck = [place.take(f"{n}.csv") for n in range(MANY + 5)]
    while runs := ledger.claim("worker", 100, 30):
        ledger.settle([transferred(run) for run in runs])
    for arrival in stuck:
        in_the_way(place, arrival)
    for some in (stuck[:MANY], stuck[MANY:]):
        order(purges, [each.file_id for each in some], by="ann")
    monkeypatch.setattr("wharfinger.engine.purge.MOST", 10)
    stays: Stays = {}
    for _ in range(2):
        with pytest.raises(StoreError, match=r"0\.csv"):
            [*carry_out(purges, place.store, stays)]
    assert len(stays) == MANY
    assert sum(1 for note in place.store.notes() if noted_purge(note)) == MANY


def test_bytes_that_cannot_be_removed_hold_up_no_others(place: Place) -> None:
    """More of them than are ordered at a time, and before all others."""
    ledger, purges = place.database.ledger, place.database.purges
    stuck = [place.take(f"stuck{n}.csv") for n in range(MANY + 5)]
    place.clock.forward(60)
    free = [place.take(f"free{n}.csv") for n in range(3)]
    while runs := ledger.claim("worker", 100, 30):
        ledger.settle([transferred(run) for run in runs])
    paths = [in_the_way(place, arrival) for arrival in stuck]
    for some in (stuck[:MANY], stuck[MANY:], free):
        assert all(order(purges, [each.file_id for each in some], by="ann"))
    stays: Stays = {}
    assert sum(done.files for done in carry_out(purges, place.store, stays)) == 3
    assert set(stays) == {each.file_id for each in stuck}
    assert str(stuck[0].ref) in str(stays[stuck[0].file_id])
    assert not any(place.has(*free))
    before = [*place.store.notes()]
    assert [*carry_out(purges, place.store, stays)] == []
    assert [*place.store.notes()] == before, "what stays is noted once"
    for path in paths:
        (path / "in it").rmdir()
        path.rmdir()
    assert sum(done.files for done in carry_out(purges, place.store, {})) == len(stuck)
    assert purges.ordered() == []


@contextmanager
def retaining(place: Place) -> Iterator[threading.Thread]:
    """A Retainer at work that keeps nothing."""
    stopped, rules = threading.Event(), {"all": Retention(transferred_days=1e-9)}
    retainer = Retainer(place.database.catalog, place.database.purges, place.store, rules, stopped)
    thread = threading.Thread(target=retainer.run)
    thread.start()
    try:
        yield thread
    finally:
        stopped.set()
        thread.join(10)


def delivered(place: Place, name: str) -> Arrival:
    arrival = place.take(name)
    place.database.ledger.settle([transferred(claimed(place.database.ledger))])
    return arrival


def test_a_retainer_tells_once_what_it_cannot_remove_and_goes_on(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = delivered(place, "stuck.csv")
    path = in_the_way(place, stuck)
    with retaining(place):
        for n in range(3):  # each is purged by a round of its own
            free = delivered(place, f"free{n}.csv")
            wait_until("it is purged", partial(lambda free: place.has(free) == [False], free))
    told = [record for record in caplog.records if "cannot be purged" in record.message]
    assert len(told) == 1
    assert path.exists()
    assert [each.file_id for each in place.database.purges.ordered()] == [stuck.file_id]


def test_a_retainer_works_until_it_is_stopped(place: Place) -> None:
    arrival = delivered(place, "a.csv")
    with retaining(place) as thread:
        wait_until("it is purged", lambda: place.has(arrival) == [False])
    assert not thread.is_alive()
