"""What every Gates promises, and what `cancel` does: where people step in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rig.databases import START, Clock, arrived, claimed, failed, held, lease, quarantined, retried, transferred
from wharfinger.ledger import MANY, Catalog, Database, Gates, Ledger, chain
from wharfinger.model import Checkpoint, Event, Outcome, Run, State, Status


def last(catalog: Catalog, file_id: str) -> Event:
    events = catalog.events(file_id)
    assert chain.verify(events) == []
    return events[-1]


def stands(catalog: Catalog, file_id: str) -> tuple[State, Status]:
    record = catalog.file(file_id)
    assert record
    return record.state, record.status


# -- pause, resume


def test_a_pipeline_is_paused_until_it_is_resumed(gates: Gates) -> None:
    assert gates.paused() == frozenset()
    assert [gates.pause("claims", "ann"), gates.pause("claims", "bob")] == [True, False]
    assert gates.paused() == {"claims"}
    assert [gates.resume("claims", "ann"), gates.resume("claims", "ann")] == [True, False]
    assert gates.paused() == frozenset()


def test_a_pipeline_that_was_never_paused_cannot_be_resumed(gates: Gates) -> None:
    assert gates.resume("claims", "ann") is False
    assert gates.gates() == []


def test_a_pause_outlives_the_process(gates: Gates, open_database: Callable[[], Database]) -> None:
    gates.pause("claims", "ann")
    assert open_database().gates.paused() == {"claims"}


def test_who_paused_since_when_and_how_many_wait(ledger: Ledger, gates: Gates, clock: Clock) -> None:
    gates.pause("claims", "ann")
    clock.forward(60)
    gates.pause("claims", "bob")
    arrived(ledger, 2)
    ledger.settle([held(run) for run in ledger.claim("worker", 10, 30)])
    [gate] = gates.gates()
    assert (gate.pipeline, gate.at, gate.by, gate.held) == ("claims", START, "ann", 2)


# -- hold


def test_a_held_run_waits_is_counted_and_is_not_claimed(ledger: Ledger, gates: Gates, catalog: Catalog) -> None:
    gates.pause("claims", "ann")
    arrived(ledger)
    run = claimed(ledger)
    assert ledger.settle([held(run)]) == [True]
    record = catalog.file(run.id)
    assert record
    assert (record.state, record.status, record.pipeline, record.attempts) == (
        State.WAITING,
        Status.QUEUED,
        "claims",
        0,
    )
    counts = catalog.counts()
    assert (counts.held, counts.unrouted, counts.runs[State.WAITING], counts.oldest_ready) == (1, 0, 1, None)
    assert ledger.claim("worker", 10, 30) == []
    assert last(catalog, run.id).kind == "held"


def test_what_is_put_aside_after_the_pipeline_was_resumed_is_in_line_again(
    ledger: Ledger, gates: Gates, catalog: Catalog
) -> None:
    gates.pause("claims", "ann")
    arrived(ledger)
    run = claimed(ledger)
    gates.resume("claims", "ann")
    assert ledger.settle([held(run)]) == [True]
    assert stands(catalog, run.id) == (State.READY, Status.QUEUED)
    again = claimed(ledger)
    assert (again.id, again.tries) == (run.id, 0)


def test_a_stale_worker_cannot_put_a_run_aside(ledger: Ledger, gates: Gates, catalog: Catalog) -> None:
    gates.pause("claims", "ann")
    arrived(ledger)
    run = claimed(ledger)
    ledger.release([lease(run)])
    assert ledger.settle([held(run)]) == [False]
    assert stands(catalog, run.id) == (State.READY, Status.QUEUED)


def test_a_held_run_keeps_its_tries_and_its_checkpoint(ledger: Ledger, gates: Gates, clock: Clock) -> None:
    arrived(ledger)
    run = claimed(ledger)
    checkpoint = Checkpoint(1, (), {}, "f" * 64)
    ledger.extend([lease(run, checkpoint=checkpoint)], 30)
    ledger.settle([retried(run, START + 5)])
    gates.pause("claims", "ann")
    clock.forward(6)
    ledger.settle([held(claimed(ledger))])
    assert ledger.obsolete_checkpoints() == []
    gates.resume("claims", "ann")
    gates.wake()
    again = claimed(ledger)
    assert (again.tries, again.checkpoint) == (1, checkpoint)


# -- wake


def test_nothing_wakes_while_the_pipeline_is_paused(ledger: Ledger, gates: Gates) -> None:
    gates.pause("claims", "ann")
    arrived(ledger)
    ledger.settle([held(claimed(ledger))])
    assert gates.wake() == []


def test_resumed_runs_stand_in_line_where_they_stood_and_it_is_told_by_whom(
    ledger: Ledger, gates: Gates, catalog: Catalog
) -> None:
    gates.pause("claims", "ann")
    arrivals = arrived(ledger, 3)
    ledger.settle([held(run) for run in ledger.claim("worker", 10, 30)])
    [late] = arrived(ledger)
    gates.resume("claims", "bob")
    assert set(gates.wake()) == {arrival.file_id for arrival in arrivals}
    assert gates.wake() == []
    assert [run.id for run in ledger.claim("worker", 10, 30)] == [*(a.file_id for a in arrivals), late.file_id]
    event = last(catalog, arrivals[0].file_id)
    assert (event.kind, event.data["by"], event.data["pipeline"]) == ("woken", "bob", "claims")


def test_only_the_pipeline_that_is_resumed_wakes(ledger: Ledger, gates: Gates) -> None:
    for pipeline in ("claims", "tables"):
        gates.pause(pipeline, "ann")
    arrived(ledger, 2)
    one, two = ledger.claim("worker", 10, 30)
    ledger.settle([held(one, "claims"), held(two, "tables")])
    gates.resume("tables", "ann")
    assert gates.wake() == [two.id]


def test_at_most_many_wake_at_once(ledger: Ledger, gates: Gates, catalog: Catalog) -> None:
    gates.pause("claims", "ann")
    arrived(ledger, MANY + 5)
    while runs := ledger.claim("worker", MANY, 30):
        ledger.settle([held(run) for run in runs])
    gates.resume("claims", "ann")
    assert catalog.counts().held == MANY + 5
    assert [len(gates.wake()), len(gates.wake()), len(gates.wake())] == [MANY, 5, 0]
    assert catalog.counts().held == 0


def test_a_held_file_can_be_replayed_and_is_held_again(ledger: Ledger, gates: Gates, catalog: Catalog) -> None:
    gates.pause("claims", "ann")
    arrived(ledger)
    run = claimed(ledger)
    ledger.settle([held(run)])
    assert ledger.replay([run.id], by="ann") == [True]
    ledger.settle([held(claimed(ledger))])
    assert stands(catalog, run.id) == (State.WAITING, Status.QUEUED)


# -- cancel


def test_a_cancelled_file_is_failed_and_never_claimed(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    assert ledger.cancel([arrival.file_id], "ann") == [True]
    record = catalog.file(arrival.file_id)
    assert record
    assert (record.state, record.status, record.error_message) == (State.CANCELLED, Status.FAILED, "CANCELLED: by ann")
    event = last(catalog, arrival.file_id)
    assert (event.kind, event.data["by"], event.data["after"]) == ("cancelled", "ann", "ready")
    assert ledger.claim("worker", 10, 30) == []
    assert (catalog.counts().runs[State.CANCELLED], catalog.counts().runs[State.DEAD]) == (1, 0)


def test_the_worker_of_a_cancelled_file_learns_it_by_its_lease(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    run = claimed(ledger)
    assert ledger.cancel([run.id], "ann") == [True]
    assert ledger.extend([lease(run)], 30) == [False]
    assert ledger.settle([transferred(run)]) == [False]
    assert stands(catalog, run.id) == (State.CANCELLED, Status.FAILED)
    assert last(catalog, run.id).kind == "stale"


def test_an_expired_lease_does_not_bring_a_cancelled_file_back(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger)
    ledger.cancel([claimed(ledger).id], "ann")
    clock.forward(31)
    assert ledger.sweep() == []
    assert ledger.claim("worker", 10, 30) == []


def test_a_held_file_can_be_cancelled(ledger: Ledger, gates: Gates, catalog: Catalog) -> None:
    gates.pause("claims", "ann")
    arrived(ledger)
    run = claimed(ledger)
    ledger.settle([held(run)])
    assert ledger.cancel([run.id], "ann") == [True]
    gates.resume("claims", "ann")
    assert gates.wake() == []
    assert catalog.counts().held == 0


@pytest.mark.parametrize("end", [failed, quarantined])
def test_a_cancelled_dead_letter_keeps_its_status_and_error(
    ledger: Ledger, catalog: Catalog, end: Callable[[Run], Outcome]
) -> None:
    arrived(ledger)
    run = claimed(ledger)
    ledger.settle([end(run)])
    before = catalog.file(run.id)
    assert ledger.cancel([run.id], "ann") == [True]
    record = catalog.file(run.id)
    assert before
    assert record
    assert (record.status, record.error_message) == (before.status, before.error_message)
    assert (record.state, catalog.counts().runs[State.DEAD]) == (State.CANCELLED, 0)
    assert last(catalog, run.id).kind == "dismissed"


def test_a_file_that_is_cancelled_on_its_second_way_is_not_said_to_be_delivered(
    ledger: Ledger, catalog: Catalog
) -> None:
    arrived(ledger)
    run = claimed(ledger)
    ledger.settle([transferred(run)])
    ledger.replay([run.id])
    ledger.cancel([run.id], "ann")
    record = catalog.file(run.id)
    assert record
    assert (record.status, record.delivered) == (Status.FAILED, ())


def test_what_is_done_or_cancelled_or_unknown_cannot_be_cancelled(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    run = claimed(ledger)
    ledger.settle([transferred(run)])
    [other] = arrived(ledger)
    assert ledger.cancel([run.id, "stranger", other.file_id, other.file_id], "ann") == [False, False, True, False]
    assert stands(catalog, run.id) == (State.DONE, Status.TRANSFERRED)


def test_a_cancelled_file_can_be_replayed(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    ledger.cancel([arrival.file_id], "ann")
    assert ledger.replay([arrival.file_id], by="bob") == [True]
    assert last(catalog, arrival.file_id).data["by"] == "bob"
    ledger.settle([transferred(claimed(ledger))])
    assert stands(catalog, arrival.file_id) == (State.DONE, Status.TRANSFERRED)


def test_a_checkpoint_of_a_cancelled_run_is_of_no_use(ledger: Ledger) -> None:
    arrived(ledger)
    run = claimed(ledger)
    ledger.extend([lease(run, checkpoint=Checkpoint(1, (), {}, "f" * 64))], 30)
    ledger.cancel([run.id], "ann")
    assert [each.run for each in ledger.obsolete_checkpoints()] == [run.id]


def test_more_than_many_are_refused_and_none_are_no_error(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="at most 100"):
        ledger.cancel(["F"] * (MANY + 1), "ann")
    assert ledger.cancel([], "ann") == []
