"""The children: claim runs, take them through their steps level by level, settle them together."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from wharfinger.config.settings import Pipeline
from wharfinger.engine import level, retry, router
from wharfinger.engine.cancel import cancel_families
from wharfinger.engine.execution import Execution
from wharfinger.engine.heartbeat import PATIENCE_S, Heartbeat, Watch
from wharfinger.engine.lease import Leases
from wharfinger.engine.lifeline import GRACE_S
from wharfinger.engine.plan import Plan, plan
from wharfinger.engine.report import report
from wharfinger.engine.scratch import Workroom, clean
from wharfinger.engine.spent import Spent
from wharfinger.engine.sweep import Sweeper, sweep
from wharfinger.engine.wake import wake
from wharfinger.errors import Busy, LedgerError, LostAnswer, Transient
from wharfinger.ledger import LARGE, Gates, Hint, Ledger
from wharfinger.model import Child, Failure, Outcome, Run, State, Status
from wharfinger.steps import Step
from wharfinger.store import Store, Target
from wharfinger.telemetry import crash
from wharfinger.telemetry.meter import SILENT, Meter
from wharfinger.telemetry.trouble import Trouble

IDLE_S = 1.0
"""A worker with nothing to do looks again after so long, if no hint comes before."""

EXPRESS_BATCH = 16
"""Runs that an express worker claims at once, at most: a small customer's file behind a large dump has its turn after so many."""

WOKEN = 10
"""Groups of runs that a heartbeat brings back from a paused pipeline, or cancels with their family, in a second: it has leases to keep."""

OVERRUN = 75
"""Exit status (sysexits.h: EX_TEMPFAIL) of a worker that has given up on a step which would not end."""

_doubt = Trouble(
    logging.getLogger(__name__),
    begins="an answer of the ledger was lost: what this worker holds is given back, and no try is counted",
    ends="what this worker held is given back",
)


class Worker:
    """
    One process that works. Everything it does can be repeated, so that it may die at any instant: its runs come back when the
    leases end, and the outputs have the same names and bytes.

    `owner` names it in the ledger; an `express` one leaves large files to others and claims few at once, so that nobody waits
    long behind what it has begun. `checkpoint` is called once a second: histories are covered by it, should it be time.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: Store,
        targets: Mapping[str, Target],
        pipelines: Sequence[Pipeline],
        steps: Mapping[str, Step],
        hint: Hint,
        *,
        gates: Gates,
        owner: str,
        batch: int = 64,
        lease_s: float = 30.0,
        express: bool = False,
        checkpoint: Callable[[], object] = lambda: None,
        grace_s: float = GRACE_S,
        meter: Meter = SILENT,
        clock: Callable[[], float] = time.time,
        rand: Callable[[], float] = random.random,
    ) -> None:
        """Raises ConfigError where a pipeline cannot be run here, StoreError where there is no room to work in."""
        self._ledger, self._gates, self._store, self._targets, self._hint = ledger, gates, store, targets, hint
        self._pipelines = pipelines
        revisions = {pipeline.name: pipeline.revision for pipeline in pipelines}
        self._plans = {pipeline.name: plan(pipeline, steps, targets, revisions) for pipeline in pipelines}
        self._owner, self._lease_s, self._grace_s = owner, lease_s, grace_s
        self._batch = min(batch, EXPRESS_BATCH) if express else batch
        self._max_size = LARGE if express else None
        self._meter, self._clock, self._rand = meter, clock, rand
        self._limit = self._batch
        self._is_in_doubt = False  # about what it holds
        self._leases, self._spent = Leases(ledger, lease_s), Spent(ledger, store)
        self._sweep, self._checkpoint = Sweeper(ledger, hint, clock=clock), checkpoint
        self._watch = Watch(self._overrun)
        self._workroom = Workroom(store.scratch())
        clean(Path(self._workroom.path).parent, now=clock())

    def work(self) -> None:
        """Work until `stop`: what has begun is finished and settled, the rest is given back; also what takes over `grace_s`."""
        for pipeline in self._pipelines:
            register = partial(self._ledger.register, pipeline.revision, pipeline.name, pipeline.document)
            retry.insist(register)
        self._spent.remove()
        send, grace_s = self._hint.send, self._grace_s
        with Heartbeat(self._leases, self._watch, sweep=self._make_rounds, released=send, grace_s=grace_s):
            while not self._leases.closed:
                if not self.turn() and not self._is_in_doubt:
                    self._hint.receive(IDLE_S)
            with contextlib.suppress(LedgerError):  # leases end by themselves
                self._let_go()
        self._workroom.close()

    def stop(self) -> None:
        """End `work` soon. May be called by a signal handler."""
        self._leases.closed = True

    def turn(self) -> int:
        """
        Claim runs once and see to them. How many were claimed; 0 also where the ledger is busy, and where an answer of its was lost:
        then the next turn begins by letting go of all that is held.
        """
        try:
            return self._turn()
        except LostAnswer as error:
            _doubt.tell(error)
            self._is_in_doubt = True
            return 0

    def _turn(self) -> int:
        claimed = time.monotonic()
        try:
            self._let_go()
            runs = self._ledger.claim(self._owner, self._limit, self._lease_s, max_size=self._max_size)
        except Busy:
            return 0
        if runs:
            crash.point("worker.claimed")
            self._leases.take(runs, claimed)
            executions, aside = self._route(runs)
            crash.point("worker.routed")
            level.reunite(executions, self._ledger)
            self._run(executions)
            self._settle(executions, aside, {run.id: run for run in runs})
            self._hint.send(retry.insist(self._leases.give_back))
            self._workroom.clear()
        return len(runs)

    def _let_go(self) -> None:
        """Where it is in doubt: give back what the ledger has in this worker's name. Nothing has crashed."""
        if self._is_in_doubt:
            sweep(self._ledger, self._hint, owner=self._owner, crashed=False)
            self._workroom.clear()
            self._is_in_doubt = False
            _doubt.tell(None)

    def _route(self, runs: Sequence[Run]) -> tuple[list[Execution], list[Outcome]]:
        """Its way for each run; for those that no pipeline takes, or a paused one, what is to be settled."""
        executions, aside = [], []
        paused = retry.insist(self._gates.paused)
        for n, run in enumerate(runs):
            plan = self._plan(run)
            if plan and plan.pipeline.name not in paused:
                executions.append(Execution(run, plan, self._store, f"{self._workroom.path}/{n}"))
            elif self._leases.begin(run.id):
                aside.append(
                    _held(run, plan.pipeline) if plan else _orphaned(run, run.child) if run.child else _unrouted(run)
                )
        return executions, aside

    def _plan(self, run: Run) -> Plan | None:
        if run.child:
            return self._plans.get(run.child.pipeline)
        pipeline = router.match(run.arrival, self._pipelines)
        return self._plans[pipeline.name] if pipeline else None

    def _run(self, executions: Sequence[Execution]) -> None:
        """Level by level: the next step of each run, then the effects of all of them."""
        spent_s, going = 0.0, executions
        while going:
            started = time.perf_counter()
            self._advance(going)
            spent_s += time.perf_counter() - started
            crash.point("worker.stepped")
            self._leases.confirm()
            ours = self._held(going)
            level.deliver(ours, self._targets)
            level.keep(ours, self._store, self._ledger, self._leases)
            going = [execution for execution in ours if execution.goes_on]
        self._limit = _pace(spent_s, len(self._held(executions)), self._batch)

    def _advance(self, executions: Sequence[Execution]) -> None:
        for execution in executions:
            if self._leases.begin(execution.run.id) and execution.goes_on:
                self._watch.begin(execution)
                execution.advance()
                self._watch.end()

    def _held(self, executions: Sequence[Execution]) -> list[Execution]:
        return [execution for execution in executions if self._leases.holds(execution.run.id)]

    def _settle(self, executions: Sequence[Execution], aside: Sequence[Outcome], runs: Mapping[str, Run]) -> None:
        """Record what became of the runs: deliveries in the store's journal first, then everything in the ledger."""
        ours = self._held(executions)
        level.note(ours, self._store)
        now = self._clock()
        outcomes = [*(execution.outcome(now=now, rand=self._rand) for execution in ours), *aside]
        answers = retry.insist(lambda: self._ledger.settle(outcomes)) if outcomes else []
        crash.point("worker.settled")
        wakes = (execution.run for execution in ours if execution.waits or execution.run.arrival.group)
        self._hint.send([run.id for run in wakes])  # its children are ready, or the next of its group
        self._leases.end()
        report(runs, outcomes, answers, self._meter, now=now)
        self._spent.remove()

    def _make_rounds(self) -> None:
        """
        Called by the heartbeat once a second: bring back the runs whose worker is gone, and some that wait for a pipeline which was
        resumed, should whoever did so have been cut off; likewise cancel what cancelled runs have called.
        """
        self._sweep()
        sum(islice(cancel_families(self._ledger), WOKEN))
        sum(islice(wake(self._gates, self._hint), WOKEN))
        self._checkpoint()

    def _overrun(self, execution: Execution) -> None:
        """Called by the heartbeat: settle the run whose step does not end, give all others back, and end the process."""
        limit_s = execution.stage.seconds
        error = Transient(f"the step was still running after {limit_s:g} s", code="STEP_TIMEOUT")
        execution.give_up(error, limit_s)
        with contextlib.suppress(LedgerError):
            now, run = self._clock(), execution.run
            outcomes = [execution.outcome(now=now, rand=self._rand)]
            report({run.id: run}, outcomes, self._ledger.settle(outcomes), self._meter, now=now)
            self._hint.send(self._leases.abandon())
        os._exit(OVERRUN)


def _unrouted(run: Run) -> Outcome:
    failure = Failure("UNROUTED", router.unrouted(run.arrival))
    return Outcome(run.id, run.token, State.WAITING, Status.UPLOADED, failure=failure)


def _orphaned(run: Run, child: Child) -> Outcome:
    """The configuration has changed since it was called, and a replay of the file goes by the one of now."""
    said = f"the pipeline {child.pipeline!r} that was called is not configured any more; wharf replay {run.arrival.file_id}"
    return Outcome(run.id, run.token, State.DEAD, Status.FAILED, failure=Failure("NO_PIPELINE", said, child.step))


def _held(run: Run, pipeline: Pipeline) -> Outcome:
    return Outcome(run.id, run.token, State.WAITING, Status.QUEUED, pipeline.name, pipeline.revision)


def _pace(spent_s: float, runs: int, batch: int) -> int:
    """How many runs to claim next, if so many took so long: as many as begin before the patience ends."""
    return batch if spent_s * batch <= PATIENCE_S * runs else max(1, int(PATIENCE_S * runs / spent_s))
