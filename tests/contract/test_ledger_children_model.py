"""
Ledgers in lockstep with each other and with a small model of runs that call others, over random histories. The model shares no code
with any ledger.
"""

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
    a_call,
    a_child,
    an_arrival,
    failed,
    lease,
    quarantined,
    retried,
    transferred,
    waiting,
)
from rig.lockstep import Lockstep
from wharfinger.ledger import Filter, chain
from wharfinger.model import Run, ulid

LEASE_S = 30
MEMBERS = ("a", "b", "c")
CALLS = ("one", "two")
ENDS = {
    "transferred": (transferred, "transferred", "done"),
    "failed": (failed, "failed", "dead"),
    "quarantined": (quarantined, "quarantined", "dead"),
}
DEEPEST = 2


@dataclass
class Modelled:
    """One run as it should be."""

    file: str
    parent: str = ""
    call: str = ""
    depth: int = 0
    status: str = "uploaded"
    state: str = "ready"
    token: int = 0
    tries: int = 0
    crashes: int = 0
    solo: bool = False
    replays: int = 0
    waits: int = 0
    until: float = 0  # due, or the end of the lease
    owner: str = ""
    is_purged: bool = False

    @property
    def has_ended(self) -> bool:
        return self.state in ("done", "dead", "cancelled")

    def become(self, status: str, state: str, until: float = 0) -> None:
        self.status, self.state, self.until, self.owner = status, state, until, ""

    def restart(self) -> None:
        self.tries, self.crashes, self.solo, self.replays = 0, 0, False, self.replays + 1
        self.become("queued", "ready")


class FamilyMachine(RuleBasedStateMachine):
    backends: Sequence[str] = ()

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.directory = tempfile.TemporaryDirectory()
        self.databases = [DATABASES[backend](Path(self.directory.name), clock=self.clock) for backend in self.backends]
        self.ledger = Lockstep([database.ledger for database in self.databases])
        self.catalog = Lockstep([database.catalog for database in self.databases])
        self.purges = Lockstep([database.purges for database in self.databases])
        self.model: dict[str, Modelled] = {}
        self.events: dict[str, int] = {}  # by file
        self.ordered: set[str] = set()  # files whose bytes are to go
        self.runs: list[Run] = []  # every claim there ever was, stale ones too

    def teardown(self) -> None:
        for database in self.databases:
            database.close()
        self.directory.cleanup()

    @rule()
    def arrive(self) -> None:
        arrival = an_arrival("acme/inbound/a.zip", version=ulid(START, len(self.events)))
        assert self.ledger.arrive([arrival]) == [True]
        self.model[arrival.file_id] = Modelled(arrival.file_id)
        self.events[arrival.file_id] = 1

    @rule(owner=st.sampled_from(["ann", "bob"]), limit=st.integers(1, 6))
    def claim(self, owner: str, limit: int) -> None:
        claimable = {id for id, m in self.model.items() if m.state == "ready" and m.until <= self.clock.now}
        runs = self.ledger.claim(owner, limit, LEASE_S)
        assert {run.id for run in runs} <= claimable
        assert bool(runs) == bool(claimable)
        for run in runs:
            m = self.model[run.id]
            m.token += 1
            assert (run.token, run.tries, run.crashes, run.solo) == (m.token, m.tries, m.crashes, m.solo)
            assert (run.replays, run.arrival.file_id, run.child is not None) == (m.replays, m.file, bool(m.parent))
            m.become("processing", "leased", self.clock.now + LEASE_S)
            m.owner = owner
        self.runs += runs

    def is_held(self, run: Run) -> bool:
        return self.model[run.id].state == "leased" and self.model[run.id].token == run.token

    def told(self, run: str, n: int = 1) -> None:
        self.events[self.model[run].file] += n

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), call=st.sampled_from(CALLS), members=st.sets(st.sampled_from(MEMBERS), min_size=1))
    def spawn(self, data: st.DataObject, call: str, members: set[str]) -> None:
        run = data.draw(st.sampled_from(self.runs))
        parent = self.model[run.id]
        if parent.depth == DEEPEST:
            return
        children = [a_child(member) for member in sorted(members)]
        [answer] = self.ledger.spawn([a_call(run, *children, id=call)])
        if not self.is_held(run):
            assert answer is None
            return
        pending, entered = [], 0
        for child in children:
            id = child.id(run.id)
            known = self.model.get(id)
            is_again = known is not None and known.call != call and known.has_ended
            pending.append(known is None or is_again or not known.has_ended)
            if known is None:
                known = self.model[id] = Modelled(parent.file, run.id, call, parent.depth + 1, "queued")
                entered += 1
            elif is_again:
                known.restart()
                entered += 1
            known.call = call
        parent.waits += entered
        self.told(run.id, bool(entered))
        assert answer == pending

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def wait(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.runs))
        held = self.is_held(run)
        assert self.ledger.settle([waiting(run)]) == [held]
        self.told(run.id)
        if held:
            self.model[run.id].become("processing", "waiting")
            self.wake(run.id)

    def wake(self, id: str) -> None:
        m = self.model[id]
        if (m.state, m.status, m.waits) == ("waiting", "processing", 0):
            m.become("queued", "ready")
            self.told(id)

    def end(self, id: str, status: str, state: str) -> None:
        m = self.model[id]
        m.become(status, state)
        if m.parent:
            self.model[m.parent].waits -= 1
            self.wake(m.parent)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), how=st.sampled_from([*ENDS]))
    def settle(self, data: st.DataObject, how: str) -> None:
        run = data.draw(st.sampled_from(self.runs))
        make, status, state = ENDS[how]
        held = self.is_held(run)
        assert self.ledger.settle([make(run)]) == [held]
        self.told(run.id)
        if held:
            self.model[run.id].tries += 1
            self.end(run.id, status, state)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def settle_all_that_are_held(self, data: st.DataObject) -> None:
        """In one call, children with their parents."""
        held = {run.id: run for run in self.runs if self.is_held(run)}
        how = {id: data.draw(st.sampled_from(["transferred", "waiting"])) for id in held}
        outcomes = [waiting(run) if how[id] == "waiting" else transferred(run) for id, run in held.items()]
        assert self.ledger.settle(outcomes) == [True] * len(held)
        for id in held:
            self.told(id)
            if how[id] == "waiting":
                self.model[id].become("processing", "waiting")
        for id in held:
            if how[id] == "transferred":
                m = self.model[id]
                m.tries += 1
                m.become("transferred", "done")
        for id in held:
            if how[id] == "transferred" and self.model[id].parent:
                self.model[self.model[id].parent].waits -= 1
        for id in {*held, *(self.model[id].parent for id in held)} - {""}:
            self.wake(id)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), wait=st.sampled_from([0, 10]))
    def retry(self, data: st.DataObject, wait: float) -> None:
        run = data.draw(st.sampled_from(self.runs))
        held = self.is_held(run)
        assert self.ledger.settle([retried(run, self.clock.now + wait)]) == [held]
        self.told(run.id)
        if held:
            self.model[run.id].tries += 1
            self.model[run.id].become("processing", "ready", self.clock.now + wait)

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(self.runs))
        held = self.is_held(run)
        assert self.ledger.release([lease(run)]) == [held]
        if held:
            self.model[run.id].become("queued", "ready")
            self.told(run.id)

    @rule(owner=st.sampled_from(["ann", "bob", None]))
    def sweep(self, owner: str | None) -> None:
        leased = {id: m for id, m in self.model.items() if m.state == "leased"}
        lost = {id for id, m in leased.items() if (m.owner == owner if owner else m.until < self.clock.now)}
        assert set(self.ledger.sweep(owner=owner)) == lost
        for id in lost:
            m = self.model[id]
            m.crashes += m.solo
            m.solo = True
            m.become("queued", "ready")
            self.told(id)
        for id in sorted(lost):
            if self.model[id].crashes == 2:
                self.told(id)
                self.end(id, "quarantined", "dead")

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.model)))
        m = self.model[id]
        may = m.state != "leased" and not m.waits and not m.parent and not m.is_purged
        assert self.ledger.replay([id]) == [may]
        if may and (m.state != "ready" or m.until or m.tries or m.crashes or m.solo):
            m.restart()
            self.told(id)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.model)))
        m = self.model[id]
        may = m.state not in ("done", "cancelled") and not m.parent
        assert self.ledger.cancel([id], "ann") == [may]
        if may:
            m.become(m.status if m.state == "dead" else "failed", "cancelled")
            self.told(id)

    @rule()
    def cancel_children(self) -> None:
        forsaken = {
            id
            for id, m in self.model.items()
            if m.parent and not m.has_ended and self.state_of(m.parent) == "cancelled"
        }
        assert {*self.ledger.cancel_children()} == forsaken
        for id in forsaken:
            self.told(id)
            self.end(id, "failed", "cancelled")

    def state_of(self, id: str) -> str:
        return self.model[id].state

    @precondition(lambda self: self.model)
    @rule(data=st.data(), confirms=st.booleans())
    def purge(self, data: st.DataObject, confirms: bool) -> None:
        id = data.draw(st.sampled_from(sorted(self.model)))
        m = self.model[id]
        may = m.has_ended and not m.waits and not m.parent and not m.is_purged
        assert self.purges.order([id], by="ann") == [may]
        if may:
            m.is_purged = True
            m.become(m.status, "cancelled" if m.state == "dead" else m.state)
            self.ordered.add(id)
        assert {each.file_id for each in self.purges.ordered()} == self.ordered
        if confirms:
            assert self.purges.confirm([id]) == [id in self.ordered]
            self.told(id, id in self.ordered)
            self.ordered.discard(id)

    @rule(seconds=st.sampled_from([5, 31]))
    def time_passes(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @invariant()
    def records_agree(self) -> None:
        catalog = self.catalog
        files = {f.file_id: (f.status, f.state, f.attempts, f.waits) for f in catalog.files(Filter(), limit=1000)}
        found = {**files}
        for id in self.model:
            found |= {c.id: (c.status, c.state, c.attempts, c.waits) for c in catalog.children(id)}
        assert found == {id: (m.status, m.state, m.tries + m.crashes, m.waits) for id, m in self.model.items()}
        assert {*files} == {*self.events}

    @invariant()
    def who_waits_has_so_many_children_left(self) -> None:
        for id, m in self.model.items():
            assert m.waits == sum(c.parent == id and not c.has_ended for c in self.model.values())

    @invariant()
    def families_agree(self) -> None:
        asked = [(id, call) for id in self.model for call in CALLS][:100]
        for (id, call), family in zip(asked, self.ledger.families(asked)):
            children = [m for m in self.model.values() if (m.parent, m.call) == (id, call)]
            ends = [m.status if m.has_ended else "pending" for m in children]
            found = (family.pending, family.transferred, family.failed, family.quarantined)
            assert found == tuple(ends.count(end) for end in ("pending", "transferred", "failed", "quarantined"))

    @invariant()
    def counts_agree(self) -> None:
        counts = self.catalog.counts()
        for places, are_children in ((counts.runs, False), (counts.children, True)):
            for state, n in places.items():
                assert n == sum(m.state == state and bool(m.parent) == are_children for m in self.model.values())
        for status, n in counts.files.items():
            assert n == sum(m.status == status and not m.parent for m in self.model.values())

    @invariant()
    def histories_agree(self) -> None:
        for file, n in self.events.items():
            events = self.catalog.events(file)
            assert len(events) == n
            assert chain.verify(events) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("examples", [15, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("backends", [["sqlite"], [*DATABASES]], ids=["sqlite", "lockstep"])
def test_a_ledger_does_with_families_what_its_model_does(backends: Sequence[str], examples: int) -> None:
    """Several at once do the same as each other, to the hash of each event."""
    machine = type("Machine", (FamilyMachine,), {"backends": backends})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=40, suppress_health_check=[*HealthCheck], deadline=None
        ),
    )
