"""The effects of a step, brought about for a whole group of runs at once, so that they share their syncs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import TypeVar

from wharfinger.engine import retry
from wharfinger.engine.execution import Execution
from wharfinger.engine.input import Content
from wharfinger.engine.lease import Leases
from wharfinger.errors import LedgerError, StoreError, Unreachable
from wharfinger.ledger import MANY, Ledger, outcome
from wharfinger.model import Call, Child, Delivered
from wharfinger.store import Delivery, Put, Store, Target, delivery_note
from wharfinger.telemetry import crash

T = TypeVar("T")
R = TypeVar("R")


def deliver(executions: Sequence[Execution], targets: Mapping[str, Target]) -> None:
    """Hand what these runs have ordered to the targets, one call each. Afterwards it is visible and durable, or the run failed."""
    waiting: dict[str, list[tuple[Execution, Delivery]]] = {}
    for execution in executions:
        for destination, delivery in execution.orders:
            waiting.setdefault(destination, []).append((execution, delivery))
        execution.orders.clear()
    for destination, orders in waiting.items():
        answers = each(targets[destination].deliver, [delivery for _, delivery in orders])
        for (execution, _), answer in zip(orders, answers):
            if isinstance(answer, Delivered):
                execution.delivered.append(answer)
            else:
                execution.fail(answer)
    if waiting:
        crash.point("worker.delivered")


def keep(executions: Sequence[Execution], store: Store, ledger: Ledger, leases: Leases) -> None:
    """
    Make checkpoints for the runs whose last step asks for one: first the objects, in one call, then the facts, in another. Between
    them come the children of a step that calls, so that no checkpoint lies behind a call that was not made.
    """
    due = [execution for execution in executions if execution.is_to_be_kept]
    if not due:
        return
    _publish(due, store)
    crash.point("worker.published")
    summon([e for e in due if e.calling and not e.fault], store, ledger)
    checkpoints = {e.run.id: e.checkpoint() for e in due if not e.fault}
    retry.insist(lambda: leases.extend(checkpoints))
    crash.point("worker.checkpointed")
    for execution in due:
        if execution.calling and not execution.fault:
            execution.await_children()


def summon(executions: Sequence[Execution], store: Store, ledger: Ledger) -> None:
    """Make the children that the last steps of these runs call for, MANY at a time; nothing is made twice."""
    if not executions:
        return
    plain = [(e, child) for e in executions if not e.is_for_members for child in e.children()]
    for start in range(0, len(plain), MANY):
        _spawn(plain[start : start + MANY], ledger)
    for execution in executions:
        if execution.is_for_members:
            try:
                _summon_members(execution, store, ledger)
            except LedgerError:  # no file's fault
                raise
            except Exception as error:  # the process outlives a file
                execution.fail(error)
    crash.point("worker.spawned")


def _summon_members(execution: Execution, store: Store, ledger: Ledger) -> None:
    for group in execution.members():
        puts = [put for _, put in group]
        for refused in store.put(puts):
            if refused:
                raise refused
        pending = _spawn([(execution, child) for child, _ in group], ledger)
        if len(pending) < len(group):  # the run is somebody else's by now
            return
        store.delete([put.ref for put, is_pending in zip(puts, pending) if not is_pending])


def _spawn(children: Sequence[tuple[Execution, Child]], ledger: Ledger) -> list[bool]:
    """Whether each is still to end; those of a run that is not ours any more are left out."""
    calls = [
        Call(execution.run.id, execution.run.token, execution.call, tuple([child for _, child in group]))
        for execution, group in groupby(children, lambda pair: pair[0])
    ]
    answers = retry.insist(lambda: ledger.spawn(calls))
    return [is_pending for answer in answers for is_pending in answer or ()]


def reunite(executions: Sequence[Execution], ledger: Ledger) -> None:
    """Let those go on whose children have all ended."""
    waiting = [execution for execution in executions if execution.waits and not execution.fault]
    if waiting:
        families = retry.insist(lambda: ledger.families([(e.run.id, e.call) for e in waiting]))
        for execution, family in zip(waiting, families):
            execution.reunite(family)


def note(executions: Sequence[Execution], store: Store) -> None:
    """Write the deliveries for the files that succeeded into the store's journal, so that a rebuilt ledger knows of them."""
    done = [execution for execution in executions if execution.ends_file]
    try:
        store.note([delivery_note(e.run.arrival.file_id, e.delivered, outcome.line(e.lack), e.unnamed) for e in done])
    except (StoreError, OSError) as error:
        for execution in done:
            execution.fail(error)
    crash.point("worker.noted")


def _publish(executions: Sequence[Execution], store: Store) -> None:
    unkept: list[tuple[Execution, Content, Put]] = []
    for execution in executions:
        try:
            unkept += [(execution, content, put) for content, put in execution.unkept()]
        except OSError as error:
            execution.fail(error)
    answers = each(store.put, [put for _, _, put in unkept])
    for (execution, content, put), answer in zip(unkept, answers):
        if answer:
            execution.fail(answer)
        else:
            content.ref = put.ref
            execution.kept[put.ref] = None


def each(verb: Callable[[Sequence[T]], list[R]], items: Sequence[T]) -> list[R | Exception]:
    """
    An answer for each; a group that fails as a whole is tried again by halves, so that only the culprit pays. Where the service is away
    all pay: none would fare better, and each try waits.
    """
    try:
        return [*verb(items)] if items else []
    except Unreachable as error:
        return [error] * len(items)
    except Exception as error:  # the process outlives a file, and its neighbours do too
        half = len(items) // 2
        return [*each(verb, items[:half]), *each(verb, items[half:])] if half else [error]
