"""A wall clock that is set ahead and back by an hour, at any moment of many files' lives: clocks decide only when to take over."""

from __future__ import annotations

import random

import pytest

from rig.databases import Clock, arrived, claimed, lease, retried, transferred
from wharfinger.ledger import Catalog, Filter, Ledger
from wharfinger.model import Run, Status
from wharfinger.store.versions import Versions

HOUR = 3600.0
LEASE = 30.0


class Harbour:
    """Two workers and a sweeper on one ledger; each move is checked against what the leases say."""

    def __init__(self, ledger: Ledger, catalog: Catalog, clock: Clock, seed: int) -> None:
        self.ledger, self.catalog, self.clock, self.random = ledger, catalog, clock, random.Random(seed)
        self.versions: list[str] = []
        self.fresh = Versions(clock)
        self.held: dict[str, tuple[Run, float]] = {}  # by id, until when: what nobody else may have
        self.zombies: list[Run] = []
        self.settled: list[str] = []

    def jump(self) -> None:
        self.clock.forward(self.random.choice((-HOUR, HOUR, 1.0, LEASE / 2)))

    def restart(self) -> None:
        self.fresh = Versions(self.clock, after=self.catalog.newest_version())

    def arrive(self) -> None:
        self.versions.append(self.fresh())
        arrived(self.ledger, at=self.clock(), version=self.versions[-1])

    def claim(self) -> None:
        for run in self.ledger.claim(self.random.choice(("ann", "bob")), 3, LEASE):
            assert run.id not in self.held
            assert run.id not in self.settled
            self.held[run.id] = run, self.clock() + LEASE

    def extend(self) -> None:
        runs = [run for run, _ in self.held.values()]
        assert all(self.ledger.extend([lease(run) for run in runs], LEASE))
        self.held = {run.id: (run, self.clock() + LEASE) for run in runs}

    def sweep(self) -> None:
        over = {id for id, (_, until) in self.held.items() if until < self.clock()}
        assert set(self.ledger.sweep()) == over
        self.zombies += [self.held.pop(id)[0] for id in over]
        dead = {record.file_id for record in self.catalog.files(Filter(status=Status.QUARANTINED), limit=1000)}
        assert dead <= over  # the ledger cannot tell three leaps over one run from three crashes; `Sweeper` can
        assert all(self.ledger.replay([*dead]))

    def settle(self) -> None:
        """The zombies too: their leases ended, whatever they think."""
        assert not any(self.ledger.extend([lease(run) for run in self.zombies], LEASE))
        assert not any(self.ledger.settle([transferred(run) for run in self.zombies]))
        self.zombies.clear()
        for run, _ in [*self.held.values()][:2]:
            del self.held[run.id]
            if self.random.random() < 0.3:
                assert self.ledger.settle([retried(run, self.clock() + 60)]) == [True]
            else:
                assert self.ledger.settle([transferred(run)]) == [True]
                self.settled.append(run.id)

    def finish(self) -> None:
        """No jump any more: in the end the time comes that the clock had before."""
        while len(self.settled) < len(self.versions):
            self.clock.forward(HOUR)
            for move in (self.sweep, self.claim, self.settle):
                move()


@pytest.mark.parametrize("seed", range(8))
def test_nothing_is_lost_or_held_twice_and_versions_keep_their_order(
    ledger: Ledger, catalog: Catalog, clock: Clock, seed: int
) -> None:
    harbour = Harbour(ledger, catalog, clock, seed)
    moves = (harbour.arrive, harbour.claim, harbour.extend, harbour.sweep, harbour.settle, harbour.restart)
    for _ in range(200):
        harbour.random.choice(moves)()
        harbour.jump()
    harbour.finish()
    assert harbour.versions == sorted(set(harbour.versions))
    assert sorted(harbour.settled) == sorted({record.file_id for record in catalog.files(Filter(), limit=1000)})
    assert catalog.counts().files[Status.TRANSFERRED] == len(harbour.versions)


def test_a_lease_that_ends_while_a_sweep_waits_for_the_ledger_is_left_to_its_holder(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds it has waited as long, and extends it now."""
    arrived(ledger, 2)
    over, held = claimed(ledger, lease_s=LEASE), claimed(ledger, lease_s=2 * LEASE)
    times = iter((clock.now + 1.5 * LEASE, *[clock.now + 3 * LEASE] * 9))
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "_clock", lambda: next(times))
        assert ledger.sweep() == [over.id]
    assert ledger.extend([lease(held)], LEASE) == [True]
