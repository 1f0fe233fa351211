"""Ledgers in lockstep with each other and with a small model of them, over random histories. The model shares no code with any ledger."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from rig.databases import (
    DATABASES,
    START,
    Clock,
    an_arrival,
    failed,
    held,
    lease,
    quarantined,
    retried,
    transferred,
    unrouted,
)
from rig.lockstep import Lockstep
from wharfinger.ledger import Filter, chain
from wharfinger.model import Arrival, Group, Run, ulid

LEASE_S = 30
GROUPS = (None, None, Group("acme/holds"), Group("acme/goes on", holds=False))
SIZES = (0, 1000, 8 << 20, (8 << 20) + 1)
SETTLES = {"transferred": transferred, "failed": failed, "quarantined": quarantined, "unrouted": unrouted}
ENDS = {
    "transferred": ("transferred", "done"),
    "failed": ("failed", "dead"),
    "quarantined": ("quarantined", "dead"),
    "unrouted": ("uploaded", "waiting"),
}


@dataclass
class Modelled:
    """One file as it should be."""

    size: int
    n: int = 0  # as it arrived
    group: Group | None = None
    status: str = "uploaded"
    state: str = "ready"
    token: int = 0
    tries: int = 0
    crashes: int = 0
    solo: bool = False
    replays: int = 0
    until: float = 0  # due, or the end of the lease
    owner: str = ""
    events: int = 1

    @property
    def is_alone(self) -> bool:
        return self.solo or self.size > 8 << 20

    @property
    def is_active(self) -> bool:
        return self.state in ("ready", "leased") or (self.state == "waiting" and self.status != "uploaded")

    @property
    def is_stuck(self) -> bool:
        return self.state == "dead" or (self.state == "waiting" and self.status == "uploaded")

    @property
    def holds(self) -> bool:
        return self.is_stuck and self.group is not None and self.group.holds

    @property
    def ghost(self) -> float:
        """Until when somebody may be at it who does not know that it is cancelled, or is about to be."""
        is_retry = (self.status, self.state) == ("processing", "ready")
        return self.until if self.group and not is_retry else 0

    def is_claimable(self, now: float) -> bool:
        return self.state == "ready" and self.until <= now

    def become(self, status: str, state: str) -> None:
        self.status, self.state, self.until, self.owner = status, state, 0, ""
        self.events += 1

    def lose_lease(self) -> None:
        self.crashes += self.solo
        self.solo = True
        self.become("queued", "ready")
        if self.crashes == 2:
            self.become("quarantined", "dead")

    def restart(self) -> None:
        is_new = self.state in ("ready", "behind") and self.status in ("uploaded", "queued")
        if not is_new or self.tries or self.crashes or self.solo:
            self.tries, self.crashes, self.solo, self.replays = 0, 0, False, self.replays + 1
            known = self.ghost
            self.become("queued", "behind" if self.group else "ready")
            self.until = known


class LedgerMachine(RuleBasedStateMachine):
    backends: Sequence[str] = ()

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.directory = tempfile.TemporaryDirectory()
        self.databases = [DATABASES[backend](Path(self.directory.name), clock=self.clock) for backend in self.backends]
        self.ledger = Lockstep([database.ledger for database in self.databases])
        self.catalog = Lockstep([database.catalog for database in self.databases])
        self.gates = Lockstep([database.gates for database in self.databases])
        self.is_paused = False
        self.model: dict[str, Modelled] = {}
        self.arrivals: list[Arrival] = []
        self.runs: list[Run] = []  # every claim there ever was, stale ones too

    def teardown(self) -> None:
        for database in self.databases:
            database.close()
        self.directory.cleanup()

    @rule(
        size=st.sampled_from(SIZES),
        customer=st.sampled_from(["acme", "globex"]),
        groups=st.lists(st.sampled_from(GROUPS), min_size=1, max_size=4),
    )
    def arrive(self, size: int, customer: str, groups: list[Group | None]) -> None:
        versions = [ulid(START, len(self.arrivals) + i) for i in range(len(groups))]
        arrivals = [
            an_arrival("acme/inbound/a.csv", version=v, customer=customer, size=size, group=group)
            for v, group in zip(versions, groups)
        ]
        assert self.ledger.arrive(arrivals) == [True] * len(groups)
        for a in arrivals:
            self.arrivals.append(a)
            self.model[a.file_id] = Modelled(size, len(self.arrivals), a.group, state="behind" if a.group else "ready")
            self.advance()

    def advance(self) -> None:
        """In every group whoever has its turn is ready; not while a worker may be at a file that was cancelled."""
        for group in GROUPS[2:]:
            line = sorted((m for m in self.model.values() if m.group == group), key=lambda m: m.n)
            ahead = [m for m in line if m.is_active or m.holds or m.state == "behind"]
            if ahead and ahead[0].state == "behind" and not any(m.is_active for m in line):
                ahead[0].state = "ready"
                ahead[0].until = max(m.until for m in line if m.state in ("cancelled", "behind", "ready"))
                ahead[0].until = ahead[0].until if ahead[0].until > self.clock.now else 0

    def ahead_of(self, m: Modelled) -> set[str]:
        """The files that this one may be said to wait for."""
        line = {id: each for id, each in self.model.items() if m.state == "behind" and each.group == m.group}
        active = {id for id, each in line.items() if each.is_active}
        return active or {id for id, each in line.items() if each.holds and each.n < m.n}

    @precondition(lambda self: self.arrivals)
    @rule(data=st.data())
    def arrive_again(self, data: st.DataObject) -> None:
        assert self.ledger.arrive([data.draw(st.sampled_from(self.arrivals))]) == [False]

    @rule(owner=st.sampled_from(["ann", "bob"]), limit=st.integers(1, 4), small=st.booleans())
    def claim(self, owner: str, limit: int, small: bool) -> None:
        claimable = {id for id, m in self.model.items() if m.is_claimable(self.clock.now)}
        claimable = {id for id in claimable if not small or self.model[id].size <= 8 << 20}
        runs = self.ledger.claim(owner, limit, LEASE_S, max_size=8 << 20 if small else None)
        assert {run.id for run in runs} <= claimable
        assert bool(runs) == bool(claimable)
        together = [id for id in claimable if not self.model[id].is_alone]
        alone = len(runs) == 1 and self.model[runs[0].id].is_alone
        assert alone or len(runs) == min(limit, len(together))
        for run in runs:
            m = self.model[run.id]
            m.token += 1
            assert (run.token, run.tries, run.crashes, run.solo) == (m.token, m.tries, m.crashes, m.solo)
            assert run.replays == m.replays
            m.status, m.state, m.owner, m.until = "processing", "leased", owner, self.clock.now + LEASE_S
        self.runs += runs

    def is_held(self, run: Run) -> bool:
        return self.model[run.id].state == "leased" and self.model[run.id].token == run.token

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.runs))
        assert self.ledger.extend([lease(run)], LEASE_S) == [self.is_held(run)]
        if self.is_held(run):
            self.model[run.id].until = self.clock.now + LEASE_S

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.runs))
        assert self.ledger.release([lease(run)]) == [self.is_held(run)]
        if self.is_held(run):
            self.model[run.id].become("queued", "ready")

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), how=st.sampled_from([*SETTLES]))
    def settle(self, data: st.DataObject, how: str) -> None:
        run = data.draw(st.sampled_from(self.runs))
        assert self.ledger.settle([SETTLES[how](run)]) == [self.is_held(run)]
        m = self.model[run.id]
        if self.is_held(run):
            m.tries += how != "unrouted"
            m.become(*ENDS[how])
            self.advance()
        else:
            m.events += 1

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), wait=st.sampled_from([0, 10, 100]), counts=st.booleans())
    def retry(self, data: st.DataObject, wait: float, counts: bool) -> None:
        run = data.draw(st.sampled_from(self.runs))
        due = self.clock.now + wait
        assert self.ledger.settle([retried(run, due, counts=counts)]) == [self.is_held(run)]
        m = self.model[run.id]
        if self.is_held(run):
            m.tries += counts
            m.become("processing", "ready")
            m.until = due
        else:
            m.events += 1

    @rule(owner=st.sampled_from(["ann", "bob", None]), crashed=st.booleans())
    def sweep(self, owner: str | None, crashed: bool) -> None:
        leased = {id: m for id, m in self.model.items() if m.state == "leased"}
        lost = {id for id, m in leased.items() if (m.owner == owner if owner else m.until < self.clock.now)}
        assert set(self.ledger.sweep(owner=owner, crashed=crashed)) == lost
        for id in lost:
            self.model[id].lose_lease() if crashed else self.model[id].become("queued", "ready")
        self.advance()

    @precondition(lambda self: self.arrivals)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(self.arrivals)).file_id
        m = self.model[id]
        assert self.ledger.replay([id]) == [m.state != "leased"]
        if m.state != "leased":
            m.restart()
            self.advance()

    @rule(paused=st.booleans())
    def pause_or_resume(self, paused: bool) -> None:
        verb = self.gates.pause if paused else self.gates.resume
        assert verb("claims", "ann") == (self.is_paused != paused)
        self.is_paused = paused

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def put_aside(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.runs))
        assert self.ledger.settle([held(run)]) == [self.is_held(run)]
        m = self.model[run.id]
        if self.is_held(run):
            m.become("queued", "waiting" if self.is_paused else "ready")
        else:
            m.events += 1

    @rule()
    def wake(self) -> None:
        waiting = {id for id, m in self.model.items() if (m.status, m.state) == ("queued", "waiting")}
        woken = set() if self.is_paused else waiting
        assert set(self.gates.wake()) == woken
        for id in woken:
            self.model[id].become("queued", "ready")

    @precondition(lambda self: self.arrivals)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(self.arrivals)).file_id
        m = self.model[id]
        can = m.state not in ("done", "cancelled")
        assert self.ledger.cancel([id], "ann") == [can]
        if can:
            known = m.ghost
            m.become(m.status if m.state == "dead" else "failed", "cancelled")
            m.until = known
            self.advance()

    @rule(seconds=st.sampled_from([1, 5, 29, 31, 200]))
    def time_passes(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @invariant()
    def records_agree(self) -> None:
        found = {f.file_id: f for f in self.catalog.files(Filter(), limit=10_000)}
        assert {id: (f.status, f.state, f.owner, f.attempts) for id, f in found.items()} == {
            id: (m.status, m.state, m.owner, m.tries + m.crashes) for id, m in self.model.items()
        }
        assert {id: f.due for id, f in found.items() if f.due and f.due > self.clock.now} == {
            id: m.until for id, m in self.model.items() if m.until > self.clock.now
        }
        for id, m in self.model.items():
            assert found[id].behind in (self.ahead_of(m) or {""})

    @invariant()
    def groups_are_in_order(self) -> None:
        for group in GROUPS[2:]:
            line = [m for m in self.model.values() if m.group == group]
            assert sum(m.is_active for m in line) <= 1
        holders = {f.file_id for f in self.catalog.holders()}
        behind = [m for m in self.model.values() if m.state == "behind"]
        assert holders == {
            id for id, m in self.model.items() if m.holds and any(b.group == m.group and b.n > m.n for b in behind)
        }

    @invariant()
    def counts_agree(self) -> None:
        counts = self.catalog.counts()
        for status, n in counts.files.items():
            assert n == sum(m.status == status for m in self.model.values())
        for state, n in counts.runs.items():
            assert n == sum(m.state == state for m in self.model.values())
        assert counts.held == sum((m.status, m.state) == ("queued", "waiting") for m in self.model.values())
        assert counts.bytes == sum(m.size for m in self.model.values())

    @invariant()
    def histories_agree(self) -> None:
        for id, m in self.model.items():
            events = self.catalog.events(id)
            assert len(events) == m.events
            assert chain.verify(events) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("examples", [15, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("backends", [["sqlite"], [*DATABASES]], ids=["sqlite", "lockstep"])
def test_a_ledger_does_what_its_model_does(backends: Sequence[str], examples: int) -> None:
    """Several at once do the same as each other, to the hash of each event."""
    machine = type("Machine", (LedgerMachine,), {"backends": backends})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            suppress_health_check=[*HealthCheck],
        ),
    )
