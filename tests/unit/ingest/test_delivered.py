from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rig.databases import START, Clock, an_arrival, claimed
from wharfinger.errors import StoreError, Transient
from wharfinger.ingest.delivered import YOUNG_S, Comparison, Finding, Holdings, last, record
from wharfinger.ledger import Database
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import Delivered, Failure, Outcome, State, Status
from wharfinger.store import Delivery
from wharfinger.store.directory import DirectoryTarget
from wharfinger.store.local import LocalStore

count = itertools.count()


@dataclass
class Place:
    """A destination, and a ledger that knows what was delivered to it."""

    root: Path
    database: Database
    store: LocalStore
    target: DirectoryTarget
    clock: Clock

    def deliver(self, key: str, data: bytes = b"bytes", *, end: str = "transferred") -> str:
        """Deliver a new file, as a worker does; its id."""
        self.database.ledger.arrive([an_arrival()])
        run = claimed(self.database.ledger)
        made = self.store.scratch() / "made"
        made.write_bytes(data)
        delivery = Delivery(made, key, run.arrival.version, len(data), hashlib.sha256(data).hexdigest())
        [delivered] = self.target.deliver([delivery])
        assert isinstance(delivered, Delivered)
        self.settle(run.id, run.token, (delivered,), end)
        return run.id

    def settle(self, run: str, token: int, delivered: tuple[Delivered, ...], end: str) -> None:
        failure = None if end == "transferred" else Failure("DOWN", "the host is down", "send")
        state = State.DONE if end == "transferred" else State.DEAD
        outcome = Outcome(run, token, state, Status(end), "p", "f" * 64, failure, delivered=delivered)
        assert self.database.ledger.settle([outcome]) == [True]

    def look(self, *, later: float = 0.0, **chosen: Any) -> Holdings:
        scratch = self.root / f"scratch{next(count)}"
        scratch.mkdir()
        comparison = Comparison("out", str(self.root / "out"), self.target, **{"keeps": True, **chosen})
        return comparison.look(self.database.catalog, scratch, self.clock.now + later)

    def path(self, key: str) -> Path:
        return self.root / "out" / key

    def alter(self, key: str, data: bytes) -> None:
        self.path(key).parent.mkdir(exist_ok=True)
        self.path(key).write_bytes(data)
        os.utime(self.path(key), (START - 1, START - 1))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "out").mkdir()
    clock = Clock()
    database, store = SqliteDatabase(tmp_path / "ledger.db", clock=clock), LocalStore(tmp_path / "store")
    yield Place(tmp_path, database, store, DirectoryTarget(store, "out", tmp_path / "out", clock=clock), clock)
    store.close()
    database.close()


def test_a_destination_that_has_what_was_delivered_is_accounted_for(place: Place) -> None:
    for n in range(3):
        place.deliver(f"{n}.csv")
    assert place.look() == Holdings("out", START, 3, 3, 0, 0, 0, 0)


def test_a_name_that_is_no_text_is_unexpected_and_can_be_kept(place: Place) -> None:
    place.deliver("a.csv")
    odd = os.fsencode(place.root / "out") + b"/caf\xe9.csv"
    os.close(os.open(odd, os.O_CREAT, 0o600))
    os.utime(odd, (1e9, 1e9))
    found = place.look()
    assert found.findings == (Finding("unexpected", "caf\\udce9.csv", "the ledger tells of no such delivery"),)
    assert (found.listed, found.unexpected, place.look(keeps=False).unaccounted) == (2, 1, 0)
    record(place.root, found)
    assert last(place.root) == [found]


def test_what_is_gone_is_missing_where_the_destination_keeps_and_taken_where_not(place: Place) -> None:
    file_id = place.deliver("a.csv")
    place.deliver("b.csv")
    place.path("a.csv").unlink()
    kept = place.look()
    assert (kept.missing, kept.taken, kept.unaccounted) == (1, 0, 1)
    assert kept.findings == (Finding("missing", "a.csv", "it was delivered, and is not there", file_id),)
    free = place.look(keeps=False)
    assert (free.missing, free.taken, free.unaccounted) == (0, 1, 0)


@pytest.mark.parametrize("keeps", [True, False])
def test_other_bytes_under_the_name_are_told_always(place: Place, keeps: bool) -> None:
    one, two = place.deliver("a.csv"), place.deliver("b.csv")
    place.alter("a.csv", b"more bytes")
    place.alter("b.csv", b"setyb")
    found = place.look(keeps=keeps)
    assert {(each.kind, each.file_id) for each in found.findings} == {("altered", one), ("altered", two)}
    assert place.look(keeps=keeps, sizes_only=True).altered == 1


def test_what_nobody_delivered_is_unexpected_once_it_is_not_young(place: Place) -> None:
    place.deliver("a.csv")
    place.alter("sub/stranger", b"?")
    found = place.look(later=YOUNG_S)
    assert [(each.kind, each.key, each.file_id) for each in found.findings] == [("unexpected", "sub/stranger", "")]
    assert place.look().unexpected == 0
    assert place.look(keeps=False, later=YOUNG_S).unaccounted == 0


def test_of_two_under_one_name_the_later_counts(place: Place) -> None:
    place.deliver("a.csv", b"old")
    place.clock.forward(1)
    place.deliver("a.csv", b"new one")
    assert place.look().unaccounted == 0
    assert place.look().delivered == 1


def test_what_a_failed_file_has_delivered_may_be_there_and_need_not(place: Place) -> None:
    place.deliver("a.csv", end="failed")
    assert place.look(later=YOUNG_S).unaccounted == 0
    place.path("a.csv").unlink()
    assert place.look().unaccounted == 0


def test_what_was_delivered_under_another_prefix_is_left_out(place: Place) -> None:
    place.deliver("old/a.csv")
    place.path("old/a.csv").unlink()
    assert place.look().missing == 1
    place.deliver("new/a.csv")
    target = DirectoryTarget(place.store, "out", place.root / "out", "new/", clock=place.clock)
    later = Comparison("out", str(place.root / "out"), target, prefix="new/", keeps=True)
    scratch = place.root / "scratch"
    scratch.mkdir()
    found = later.look(place.database.catalog, scratch, place.clock.now)
    assert (found.delivered, found.listed, found.unaccounted) == (1, 1, 0)


def test_a_replay_is_advised_of_what_is_due_alone(place: Place) -> None:
    place.deliver("a.csv", end="failed")
    place.alter("a.csv", b"other bytes")
    [finding] = place.look().findings
    assert (finding.kind, finding.file_id) == ("altered", "")


def test_a_scratch_disk_that_refuses_is_told_as_that(place: Place, tmp_path: Path) -> None:
    place.deliver("a.csv")
    comparison = Comparison("out", str(place.root / "out"), place.target, keeps=True)
    with pytest.raises(StoreError, match="unable to open"):
        comparison.look(place.database.catalog, tmp_path / "is not there", place.clock.now)


def test_what_was_delivered_before_a_replay_need_not_be_there(place: Place) -> None:
    file_id = place.deliver("old name.csv")
    place.path("old name.csv").unlink()
    assert place.look().missing == 1
    place.database.ledger.replay([file_id])
    assert place.look().missing == 0


def test_what_children_have_delivered_counts(place: Place) -> None:
    from rig.databases import a_call, a_child, waiting

    place.database.ledger.arrive([an_arrival()])
    parent = claimed(place.database.ledger)
    place.database.ledger.spawn([a_call(parent, a_child("m"))])
    place.database.ledger.settle([waiting(parent)])
    child = claimed(place.database.ledger)
    made = Delivered("out", str(place.root / "out"), "m.csv", "V", 5, hashlib.sha256(b"bytes").hexdigest(), START)
    place.settle(child.id, child.token, (made,), "transferred")
    again = claimed(place.database.ledger)
    place.settle(again.id, again.token, (), "transferred")
    [finding] = place.look().findings
    assert (finding.kind, finding.key, finding.file_id) == ("missing", "m.csv", parent.id)


def test_another_destination_of_the_same_directory_is_no_stranger(place: Place) -> None:
    place.deliver("a.csv")
    scratch = place.root / "scratch"
    scratch.mkdir()
    other = Comparison("other", str(place.root / "out"), place.target, keeps=True)
    found = other.look(place.database.catalog, scratch, place.clock.now + YOUNG_S)
    assert (found.delivered, found.listed, found.unaccounted) == (0, 1, 0)


def test_a_destination_that_is_away_is_no_empty_one(place: Place) -> None:
    place.deliver("a.csv")
    (place.root / "out").rename(place.root / "unmounted")
    with pytest.raises(Transient):
        place.look()


def test_the_last_comparison_is_kept_for_whoever_wants_to_know(place: Place) -> None:
    assert last(place.root) == []
    place.deliver("a.csv")
    place.path("a.csv").unlink()
    found = place.look()
    record(place.root, found)
    assert last(place.root) == [found]
    (place.root / "run/destinations/torn.json").write_bytes(b"{")
    assert last(place.root) == [found]
