"""What every Ledger promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from rig.databases import (
    START,
    Clock,
    an_arrival,
    arrived,
    claimed,
    failed,
    lease,
    quarantined,
    retried,
    transferred,
    unrouted,
)
from wharfinger.ledger import LARGE, MANY, POISON_CRASHES, Catalog, Ledger, chain
from wharfinger.model import Checkpoint, Delivered, FileRecord, Lease, Outcome, Run, State, Status

MIB = 1 << 20


def record(catalog: Catalog, file_id: str) -> FileRecord:
    found = catalog.file(file_id)
    assert found
    return found


def kinds(catalog: Catalog, file_id: str) -> list[str]:
    """The history in words; its chain must hold at all times."""
    events = catalog.events(file_id)
    assert chain.verify(events) == []
    return [event.kind for event in events]


def crash_alone(ledger: Ledger, clock: Clock) -> str:
    """Claim the next run, which must be alone, and never come back."""
    run = claimed(ledger)
    assert run.solo
    clock.forward(31)
    assert ledger.sweep() == [run.id]
    return run.id


# -- arrive


def test_an_arrival_is_uploaded_and_its_run_ready(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    found = record(catalog, arrival.file_id)
    assert (found.status, found.state, found.attempts, found.due) == (Status.UPLOADED, State.READY, 0, None)
    assert kinds(catalog, arrival.file_id) == ["arrived"]


def test_an_arrival_is_kept_to_the_last_field(ledger: Ledger) -> None:
    arrival = an_arrival(media_type="text/csv", source="sftp", user="ann", session="s1", cost=0.25, mtime=START - 9.5)
    ledger.arrive([arrival])
    assert claimed(ledger).arrival == arrival


def test_a_hash_that_is_not_told_stays_untold(ledger: Ledger) -> None:
    arrived(ledger, sha256="")
    assert claimed(ledger).arrival.sha256 == ""


def test_a_known_arrival_changes_nothing(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    ledger.settle([transferred(claimed(ledger))])
    before = record(catalog, arrival.file_id)
    assert ledger.arrive([replace(arrival, at=START + 99)]) == [False]
    assert record(catalog, arrival.file_id) == before
    assert kinds(catalog, arrival.file_id) == ["arrived", "transferred"]
    assert ledger.claim("worker", 10, 30) == []


def test_the_ledger_knows_what_has_arrived_and_nothing_else(ledger: Ledger) -> None:
    [arrival] = arrived(ledger)
    assert ledger.knows([arrival.file_id, "stranger", arrival.file_id]) == [True, False, True]


def test_the_ledger_tells_with_which_bytes_a_file_has_arrived(ledger: Ledger) -> None:
    [arrival] = arrived(ledger)
    assert ledger.arrive([replace(arrival, sha256="00" * 32)]) == [False]
    assert ledger.digests([arrival.file_id, "stranger", arrival.file_id]) == [arrival.sha256, "", arrival.sha256]
    assert ledger.digests([]) == []


def test_an_arrival_twice_in_one_call_is_new_once(ledger: Ledger) -> None:
    first, second = an_arrival(), an_arrival()
    assert ledger.arrive([first, second, first]) == [True, True, False]
    assert len(ledger.claim("worker", 10, 30)) == 2


def test_the_same_name_again_is_another_file(ledger: Ledger) -> None:
    one, two = an_arrival("acme/a.csv"), an_arrival("acme/a.csv")
    assert ledger.arrive([one, two]) == [True, True]
    assert one.file_id != two.file_id


def test_a_restored_arrival_is_transferred_and_never_claimed(ledger: Ledger, catalog: Catalog) -> None:
    delivered = Delivered("archive", "delivered", "k", "V1", 5, "ab" * 32, START + 7)
    arrival = an_arrival(delivered=(delivered,))
    ledger.arrive([arrival])
    found = record(catalog, arrival.file_id)
    assert (found.status, found.state, found.transfer_timestamp) == (Status.TRANSFERRED, State.DONE, START + 7)
    assert (found.delivered, found.destination_bucket) == ((delivered,), "delivered")
    assert kinds(catalog, arrival.file_id) == ["arrived", "transferred"]
    assert ledger.claim("worker", 10, 30) == []


def test_a_restored_arrival_tells_what_it_went_on_without(ledger: Ledger, catalog: Catalog) -> None:
    effect = Delivered("archive", "delivered", "acme/a.csv", "V1", 5, "ab" * 32, START + 7)
    lacking = an_arrival(delivered=(effect,), error="INCOMPLETE: 1 of 2 members failed: b.csv: EIO")
    assert ledger.arrive([lacking, an_arrival(delivered=(effect,))]) == [True, True]
    record = catalog.file(lacking.file_id)
    assert record
    assert (record.status, record.error_message, record.delivered) == ("transferred", lacking.error, (effect,))
    error = {"code": "INCOMPLETE", "message": "1 of 2 members failed: b.csv: EIO", "step": ""}
    assert catalog.events(lacking.file_id)[-1].data["error"] == error
    assert catalog.counts().incomplete == 1
    assert ledger.replay([lacking.file_id]) == [True]
    assert catalog.counts().incomplete == 0


def test_a_restored_arrival_without_a_delivery_is_transferred(ledger: Ledger, catalog: Catalog) -> None:
    arrival = an_arrival(delivered=())
    ledger.arrive([arrival])
    assert record(catalog, arrival.file_id).status == Status.TRANSFERRED


def test_more_than_many_elements_are_refused(ledger: Ledger) -> None:
    too_many = MANY + 1
    run = Lease("R", 1)
    outcome = Outcome("R", 1, State.DONE, Status.TRANSFERRED)
    with pytest.raises(ValueError, match="at most 100"):
        ledger.arrive([an_arrival()] * too_many)
    with pytest.raises(ValueError, match="at most 100"):
        ledger.extend([run] * too_many, 30)
    with pytest.raises(ValueError, match="at most 100"):
        ledger.release([run] * too_many)
    with pytest.raises(ValueError, match="at most 100"):
        ledger.settle([outcome] * too_many)
    with pytest.raises(ValueError, match="at most 100"):
        ledger.replay(["F"] * too_many)
    with pytest.raises(ValueError, match="at most 100"):
        ledger.drop_checkpoints([run] * too_many)


def test_no_elements_are_no_error(ledger: Ledger) -> None:
    assert (
        ledger.arrive([]) == ledger.extend([], 30) == ledger.release([]) == ledger.settle([]) == ledger.replay([]) == []
    )
    assert ledger.drop_checkpoints([]) == []


# -- claim


def test_a_claim_holds_a_run_until_its_deadline(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    [run] = ledger.claim("worker-7", 10, 30)
    assert (run.id, run.token, run.deadline) == (arrival.file_id, 1, START + 30)
    assert (run.tries, run.crashes, run.solo, run.checkpoint) == (0, 0, False, None)
    found = record(catalog, run.id)
    assert (found.status, found.state, found.due, found.owner) == (
        Status.PROCESSING,
        State.LEASED,
        START + 30,
        "worker-7",
    )


def test_a_claimed_run_is_not_claimed_again(ledger: Ledger) -> None:
    arrived(ledger, 5)
    first, second = ledger.claim("a", 3, 30), ledger.claim("b", 3, 30)
    assert (len(first), len(second), ledger.claim("c", 3, 30)) == (3, 2, [])
    assert len({run.id for run in first + second}) == 5


def test_each_claim_adds_one_to_the_token(ledger: Ledger) -> None:
    arrived(ledger)
    for token in (1, 2, 3):
        run = claimed(ledger)
        assert run.token == token
        ledger.release([lease(run)])


@pytest.mark.parametrize("limit", [0, -1, MANY + 1])
def test_a_claim_takes_1_to_100_runs(ledger: Ledger, limit: int) -> None:
    with pytest.raises(ValueError, match="1 to 100"):
        ledger.claim("worker", limit, 30)


def test_a_large_run_comes_alone(ledger: Ledger) -> None:
    arrived(ledger, 2)
    [large] = arrived(ledger, size=LARGE + 1, cost=0.02)
    arrived(ledger, 2, cost=0.03)
    groups = [ledger.claim("worker", 10, 30) for _ in range(3)]
    assert sorted(map(len, groups)) == [0, 1, 4]
    assert [large.file_id] in [[run.id for run in group] for group in groups]


def test_a_run_of_just_the_limit_is_not_large(ledger: Ledger) -> None:
    arrived(ledger, 2, size=LARGE)
    assert len(ledger.claim("worker", 10, 30)) == 2


def test_a_claim_with_a_largest_size_leaves_larger_ones_to_others(ledger: Ledger) -> None:
    arrived(ledger, 3, size=LARGE + 1)
    [small] = arrived(ledger, size=2 * MIB)
    assert [run.id for run in ledger.claim("worker", 10, 30, max_size=LARGE)] == [small.file_id]
    assert ledger.claim("worker", 10, 30, max_size=LARGE) == []
    assert len(ledger.claim("worker", 10, 30)) == 1


def test_the_largest_size_may_be_any(ledger: Ledger) -> None:
    for size in (MIB, 4 * MIB, 40 * MIB, 400 * MIB):
        arrived(ledger, size=size)
    sizes = [run.arrival.size for _ in range(4) for run in ledger.claim("worker", 1, 30, max_size=40 * MIB)]
    assert sorted(sizes) == [MIB, 4 * MIB, 40 * MIB]


# -- fair turns


def test_one_file_does_not_wait_behind_a_thousand_of_another_customer(ledger: Ledger) -> None:
    arrived(ledger, 1000, customer="loud")
    [one] = arrived(ledger, customer="quiet")
    assert one.file_id in [run.id for run in ledger.claim("worker", 10, 30)]


def test_turns_stay_fair_when_the_workers_lag_behind_the_clock(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger, 300, customer="loud")
    ledger.claim("worker", 10, 30)
    clock.forward(100_000)
    [one] = arrived(ledger, customer="quiet")
    assert one.file_id in [run.id for run in ledger.claim("worker", 10, 30)]


def test_turns_stay_fair_when_the_clock_was_set_back(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger, 5, customer="loud")
    ledger.settle([transferred(run) for run in ledger.claim("worker", 10, 30)])
    clock.forward(-1_000_000)
    arrived(ledger, 100, customer="quiet")
    [one] = arrived(ledger, customer="loud")
    assert one.file_id in [run.id for run in ledger.claim("worker", 10, 30)]


def test_who_was_quiet_for_long_cannot_starve_the_others(ledger: Ledger) -> None:
    arrived(ledger, 400, customer="loud")
    while runs := ledger.claim("worker", 100, 30):
        ledger.settle([transferred(run) for run in runs])
    arrived(ledger, 100, customer="quiet")
    [one] = arrived(ledger, customer="loud")
    assert one.file_id in [run.id for run in ledger.claim("worker", 10, 30)]


def test_a_customer_of_twice_the_weight_has_twice_the_turns(ledger: Ledger) -> None:
    arrived(ledger, 100, customer="heavy", cost=0.001)
    arrived(ledger, 100, customer="light", cost=0.002)
    turns = Counter(run.arrival.customer for run in ledger.claim("worker", 60, 30))
    assert 38 <= turns["heavy"] <= 42


def test_a_replay_of_many_does_not_starve_another_customer(ledger: Ledger) -> None:
    dead = [a.file_id for a in arrived(ledger, 100, customer="loud")]
    ledger.settle([quarantined(run) for run in ledger.claim("worker", 100, 30)])
    ledger.replay(dead)
    [one] = arrived(ledger, customer="quiet")
    assert one.file_id in [run.id for run in ledger.claim("worker", 10, 30)]


# -- extend


def test_an_extended_lease_is_not_swept(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    arrived(ledger)
    run = claimed(ledger)
    clock.forward(29)
    assert ledger.extend([lease(run)], 30) == [True]
    assert record(catalog, run.id).due == START + 59
    clock.forward(29)
    assert ledger.sweep() == []


def test_a_stale_lease_cannot_be_extended(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger, 2)
    zombie, released = ledger.claim("zombie", 2, 30)
    ledger.release([lease(released)])
    clock.forward(31)
    ledger.sweep()
    ledger.claim("worker", 2, 30)
    assert ledger.extend([lease(zombie), lease(released), Lease("NONE", 1)], 30) == [False, False, False]


def test_leases_are_extended_one_by_one(ledger: Ledger) -> None:
    arrived(ledger, 2)
    kept, gone = ledger.claim("worker", 2, 30)
    ledger.settle([transferred(gone)])
    assert ledger.extend([lease(gone), lease(kept)], 30) == [False, True]


def a_checkpoint(step: int = 2) -> Checkpoint:
    arrival = an_arrival()
    delivered = Delivered("archive", "delivered", "k", "V1", 5, "ab" * 32, START)
    inputs = ((arrival.ref, "a.csv", "text/csv"),)
    return Checkpoint(step, inputs, {"unpack": {"members": 3}}, "f" * 64, (delivered,), (arrival.ref,))


def test_a_checkpoint_survives_a_retry(ledger: Ledger) -> None:
    arrived(ledger)
    run = claimed(ledger)
    checkpoint = a_checkpoint()
    assert ledger.extend([lease(run, checkpoint=checkpoint)], 30) == [True]
    ledger.settle([retried(run, START)])
    assert claimed(ledger).checkpoint == checkpoint


def test_a_checkpoint_survives_a_crash_and_a_release(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger)
    run = claimed(ledger)
    checkpoint = a_checkpoint()
    ledger.extend([lease(run, checkpoint=checkpoint)], 30)
    clock.forward(31)
    ledger.sweep()
    run = claimed(ledger)
    assert run.checkpoint == checkpoint
    ledger.release([lease(run)])
    assert claimed(ledger).checkpoint == checkpoint


def test_an_extension_without_a_checkpoint_keeps_the_last(ledger: Ledger) -> None:
    arrived(ledger)
    run = claimed(ledger)
    last = a_checkpoint(3)
    for checkpoint in (a_checkpoint(1), last, None):
        ledger.extend([lease(run, checkpoint=checkpoint)], 30)
    ledger.release([lease(run)])
    assert claimed(ledger).checkpoint == last


def checkpointed(ledger: Ledger, checkpoint: Checkpoint) -> Run:
    """A claimed run that has this checkpoint."""
    arrived(ledger)
    run = claimed(ledger)
    ledger.extend([lease(run, checkpoint=checkpoint)], 30)
    return run


@pytest.mark.parametrize("end", [transferred, failed, quarantined, unrouted])
def test_a_checkpoint_is_obsolete_once_the_run_has_ended_until_it_is_dropped(
    ledger: Ledger, end: Callable[[Run], Outcome]
) -> None:
    run = checkpointed(ledger, checkpoint := a_checkpoint())
    assert ledger.obsolete_checkpoints() == []
    ledger.settle([end(run)])
    assert ledger.obsolete_checkpoints() == [lease(run, checkpoint=checkpoint)]
    assert ledger.drop_checkpoints(ledger.obsolete_checkpoints() * 2 + [Lease("NONE", 1)]) == [True, False, False]
    assert ledger.obsolete_checkpoints() == []


def test_the_checkpoint_of_a_run_that_goes_on_is_not_obsolete_and_cannot_be_dropped(ledger: Ledger) -> None:
    run = checkpointed(ledger, checkpoint := a_checkpoint())
    ledger.settle([retried(run, START)])
    again = claimed(ledger)
    assert ledger.drop_checkpoints([lease(run), lease(again)]) == [False, False]
    assert ledger.obsolete_checkpoints() == []
    ledger.release([lease(again)])
    assert claimed(ledger).checkpoint == checkpoint


def test_a_run_that_was_played_again_keeps_its_new_checkpoint(ledger: Ledger) -> None:
    ledger.settle([failed(checkpointed(ledger, a_checkpoint()))])
    obsolete = ledger.obsolete_checkpoints()
    ledger.replay([each.run for each in obsolete])
    run = claimed(ledger)
    later = lease(run, checkpoint=a_checkpoint(1))
    ledger.extend([later], 30)
    ledger.settle([failed(run)])
    assert ledger.drop_checkpoints(obsolete) == [False]
    assert ledger.obsolete_checkpoints() == [later]


def test_what_a_checkpoint_keeps_is_told_also_after_a_replay(ledger: Ledger) -> None:
    run = checkpointed(ledger, checkpoint := a_checkpoint())
    ledger.settle([retried(run, START + 900)])
    ledger.replay([run.id])
    ledger.settle([failed(claimed(ledger))])
    (obsolete,) = ledger.obsolete_checkpoints()
    assert obsolete.checkpoint == replace(checkpoint, revision="")


def test_many_obsolete_checkpoints_are_told_in_parts(ledger: Ledger) -> None:
    arrived(ledger, 150)
    while runs := ledger.claim("worker", MANY, 30):
        ledger.extend([lease(run, checkpoint=a_checkpoint()) for run in runs], 30)
        ledger.settle([transferred(run) for run in runs])
    parts = []
    while obsolete := ledger.obsolete_checkpoints():
        assert all(ledger.drop_checkpoints(obsolete))
        parts.append(len(obsolete))
    assert parts == [100, 50]


def test_obsolete_checkpoints_are_told_in_the_order_of_their_runs_from_any_of_these_on(ledger: Ledger) -> None:
    ids = sorted(arrival.file_id for arrival in arrived(ledger, 5))
    runs = ledger.claim("worker", MANY, 30)
    ledger.extend([lease(run, checkpoint=a_checkpoint()) for run in runs], 30)
    ledger.settle([transferred(run) for run in runs])
    assert [each.run for each in ledger.obsolete_checkpoints()] == ids
    assert [each.run for each in ledger.obsolete_checkpoints(after=ids[2])] == ids[3:]
    assert ledger.obsolete_checkpoints(after=ids[4]) == []


def test_a_stale_lease_leaves_no_checkpoint(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger)
    zombie = claimed(ledger)
    clock.forward(31)
    ledger.sweep()
    run = claimed(ledger)
    ledger.extend([lease(zombie, checkpoint=a_checkpoint())], 30)
    ledger.release([lease(run)])
    assert claimed(ledger).checkpoint is None


# -- release


def test_a_released_run_is_ready_at_once_and_no_try_is_counted(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    run = claimed(ledger)
    assert ledger.release([lease(run)]) == [True]
    found = record(catalog, run.id)
    assert (found.status, found.state, found.due, found.owner) == (Status.QUEUED, State.READY, None, "")
    assert kinds(catalog, run.id) == ["arrived", "released"]
    assert (claimed(ledger).tries, record(catalog, run.id).attempts) == (0, 0)


def test_a_released_run_keeps_its_place(ledger: Ledger) -> None:
    arrived(ledger, 10)
    first = claimed(ledger)
    ledger.release([lease(first)])
    assert claimed(ledger).id == first.id


def test_a_stale_lease_cannot_be_released(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger)
    zombie = claimed(ledger)
    clock.forward(31)
    ledger.sweep()
    claimed(ledger)
    assert ledger.release([lease(zombie), Lease("NONE", 1)]) == [False, False]
    assert ledger.claim("worker", 1, 30) == []


def test_a_lease_is_released_once(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    run = claimed(ledger)
    assert ledger.release([lease(run), lease(run)]) == [True, False]
    assert kinds(catalog, run.id) == ["arrived", "released"]


# -- settle


def test_a_transferred_file_has_its_record(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    [arrival] = arrived(ledger)
    run = claimed(ledger)
    clock.forward(7)
    outcome = transferred(run)
    assert ledger.settle([outcome]) == [True]
    found = record(catalog, run.id)
    assert (found.status, found.state, found.error_message, found.attempts) == (Status.TRANSFERRED, State.DONE, "", 1)
    assert (found.pipeline, found.revision, found.transfer_timestamp) == ("claims", "f" * 64, START + 7)
    assert (found.delivered, found.destination_bucket, found.owner) == (outcome.delivered, "delivered", "")
    assert (found.key, found.sha256, found.size) == (arrival.key, arrival.sha256, arrival.size)


def test_a_happy_file_has_two_events_that_tell_all(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    arrived(ledger, media_type="text/csv")
    run = claimed(ledger, owner="worker-7")
    clock.forward(2)
    ledger.settle([replace(transferred(run), facts={"unpack": {"members": 3}})])
    first, last = catalog.events(run.id)
    assert (first.kind, first.at, first.data["key"], first.data["media_type"]) == (
        "arrived",
        START,
        run.arrival.key,
        "text/csv",
    )
    assert (last.kind, last.at, last.data["owner"], last.data["token"], last.data["claimed"]) == (
        "transferred",
        START + 2,
        "worker-7",
        1,
        START,
    )
    assert (last.data["pipeline"], last.data["revision"]) == ("claims", "f" * 64)
    assert last.data["steps"] == [{"name": "unpack", "uses": "decompress@1", "seconds": 0.25, "outcome": "ok"}]
    assert last.data["delivered"][0]["key"] == run.arrival.key
    assert last.data["facts"] == {"unpack": {"members": 3}}


@pytest.mark.parametrize(("settled", "status"), [(quarantined, Status.QUARANTINED), (failed, Status.FAILED)])
def test_a_dead_run_says_why(
    ledger: Ledger, catalog: Catalog, settled: Callable[[Run], Outcome], status: Status
) -> None:
    arrived(ledger)
    outcome = settled(claimed(ledger))
    assert outcome.failure
    assert ledger.settle([outcome]) == [True]
    found = record(catalog, outcome.run)
    assert (found.status, found.state, found.attempts) == (status, State.DEAD, 1)
    assert found.error_message == f"{outcome.failure.code}: {outcome.failure.message}"
    assert found.transfer_timestamp is None
    assert catalog.events(outcome.run)[-1].data["error"]["step"] == outcome.failure.step
    assert kinds(catalog, outcome.run) == ["arrived", status]
    assert ledger.claim("worker", 1, 30) == []


def test_a_stale_token_cannot_settle_and_leaves_an_event(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    arrived(ledger)
    zombie = claimed(ledger)
    clock.forward(31)
    ledger.sweep()
    heir = claimed(ledger)
    assert ledger.settle([quarantined(zombie)]) == [False]
    assert record(catalog, heir.id).status == Status.PROCESSING
    assert ledger.settle([transferred(heir)]) == [True]
    assert ledger.settle([quarantined(zombie)]) == [False]
    assert record(catalog, heir.id).status == Status.TRANSFERRED
    assert kinds(catalog, heir.id) == ["arrived", "expired", "stale", "transferred", "stale"]


def test_a_swept_run_cannot_be_settled_before_it_is_claimed_again(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger)
    zombie = claimed(ledger)
    clock.forward(31)
    ledger.sweep()
    assert ledger.settle([transferred(zombie)]) == [False]
    assert claimed(ledger).id == zombie.id


def test_an_expired_lease_that_nobody_took_can_still_settle(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger)
    run = claimed(ledger)
    clock.forward(31)
    assert ledger.settle([transferred(run)]) == [True]
    assert ledger.sweep() == []


def test_a_run_is_settled_once(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    run = claimed(ledger)
    assert ledger.settle([transferred(run), quarantined(run)]) == [True, False]
    assert record(catalog, run.id).status == Status.TRANSFERRED


def test_outcomes_are_settled_one_by_one(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger, 3)
    runs = ledger.claim("worker", 3, 30)
    stale = replace(transferred(runs[1]), token=7)
    nobody = replace(transferred(runs[1]), run="NONE")
    outcomes = [transferred(runs[0]), stale, nobody, quarantined(runs[2])]
    assert ledger.settle(outcomes) == [True, False, False, True]
    assert [record(catalog, run.id).status for run in runs] == [
        Status.TRANSFERRED,
        Status.PROCESSING,
        Status.QUARANTINED,
    ]


def test_a_state_that_contradicts_its_status_is_refused_whole(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger, 2)
    good, bad = ledger.claim("worker", 2, 30)
    with pytest.raises(ValueError, match="does not go with"):
        ledger.settle([transferred(good), replace(transferred(bad), status=Status.FAILED)])
    assert record(catalog, good.id).status == Status.PROCESSING


def test_facts_that_json_cannot_hold_do_not_fail_their_neighbours(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger, 2)
    odd, plain = ledger.claim("worker", 2, 30)
    outcome = replace(quarantined(odd), facts={"title": "\udcff", "odd": {1, 2}})
    assert outcome.failure
    outcome = replace(outcome, failure=replace(outcome.failure, message="named \udcff"))
    assert ledger.settle([outcome, transferred(plain)]) == [True, True]
    assert "udcff" in record(catalog, odd.id).error_message
    assert "odd" in catalog.events(odd.id)[-1].data["facts"]["unreadable"]
    assert kinds(catalog, odd.id) == ["arrived", "quarantined"]


# -- retry


def test_a_retry_comes_when_it_is_due(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    arrived(ledger)
    run = claimed(ledger)
    assert ledger.settle([retried(run, START + 60)]) == [True]
    found = record(catalog, run.id)
    assert (found.status, found.state, found.due) == (Status.PROCESSING, State.READY, START + 60)
    assert found.error_message == "UNREACHABLE: no route to host"
    clock.forward(59)
    assert ledger.claim("worker", 10, 30) == []
    clock.forward(1)
    again = claimed(ledger)
    assert (again.id, again.tries, again.token) == (run.id, 1, 2)
    assert kinds(catalog, run.id) == ["arrived", "retry"]


def test_a_retry_that_does_not_count_leaves_the_tries_alone(ledger: Ledger) -> None:
    arrived(ledger)
    ledger.settle([retried(claimed(ledger), START, counts=False)])
    ledger.settle([retried(claimed(ledger), START)])
    assert claimed(ledger).tries == 1


def test_a_success_after_failures_has_their_sum_as_attempts_and_no_error(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    for _ in range(2):
        ledger.settle([retried(claimed(ledger), START)])
    ledger.settle([transferred(claimed(ledger))])
    found = record(catalog, arrival.file_id)
    assert (found.attempts, found.error_message, found.due) == (3, "", None)


def test_more_retries_than_a_call_takes_all_come_due(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger, 250)
    while runs := ledger.claim("worker", 100, 30):
        ledger.settle([retried(run, START + 60) for run in runs])
    clock.forward(60)
    again = [run.id for _ in range(5) for run in ledger.claim("worker", 100, 30)]
    assert len(set(again)) == len(again) == 250


# -- unrouted


def test_an_unrouted_file_waits_until_it_is_replayed(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    arrived(ledger)
    run = claimed(ledger)
    assert ledger.settle([unrouted(run)]) == [True]
    found = record(catalog, run.id)
    assert (found.status, found.state, found.attempts) == (Status.UPLOADED, State.WAITING, 0)
    assert found.error_message == "UNROUTED: no pipeline takes it"
    assert catalog.counts().unrouted == 1
    clock.forward(1_000_000)
    assert (ledger.sweep(), ledger.claim("worker", 1, 30)) == ([], [])
    assert ledger.replay([run.id]) == [True]
    assert catalog.counts().unrouted == 0
    assert claimed(ledger).id == run.id


# -- sweep


def test_a_lease_that_has_not_ended_is_not_swept(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger)
    claimed(ledger)
    clock.forward(30)
    assert ledger.sweep() == []


def test_a_lease_that_ended_is_claimed_again_alone(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    arrivals = arrived(ledger, 3)
    ledger.claim("dead", 3, 30)
    clock.forward(31)
    assert set(ledger.sweep()) == {a.file_id for a in arrivals}
    assert ledger.sweep() == []
    found = record(catalog, arrivals[0].file_id)
    assert (found.status, found.state, found.due, found.owner) == (Status.QUEUED, State.READY, None, "")
    last = catalog.events(arrivals[0].file_id)[-1]
    assert (last.kind, last.data["owner"], last.data["token"], last.data["alone"]) == ("expired", "dead", 1, False)
    groups = [ledger.claim("worker", 10, 30) for _ in range(4)]
    assert [len(group) for group in groups] == [1, 1, 1, 0]
    assert all(run.solo and run.tries == run.crashes == 0 for group in groups for run in group)


def test_an_owner_that_died_loses_its_runs_at_once(ledger: Ledger) -> None:
    arrived(ledger, 4)
    lost, kept = ledger.claim("dead", 2, 30), ledger.claim("alive", 2, 30)
    assert set(ledger.sweep(owner="dead")) == {run.id for run in lost}
    assert ledger.sweep(owner="dead") == ledger.sweep(owner="nobody") == []
    assert ledger.settle([transferred(run) for run in kept]) == [True, True]
    assert ledger.settle([transferred(run) for run in lost]) == [False, False]


def test_what_was_killed_on_purpose_is_released(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    arrived(ledger, 2)
    alone, other = ledger.claim("killed", 2, 30)
    ledger.settle([transferred(other)])
    clock.forward(31)
    ledger.sweep()
    for _ in range(POISON_CRASHES + 1):
        assert claimed(ledger).solo
        assert ledger.sweep(owner="worker", crashed=False) == [alone.id]
        assert record(catalog, alone.id).attempts == 0
    assert kinds(catalog, alone.id)[-1] == "released"
    assert ledger.sweep(owner="worker", crashed=False) == []


def test_a_sweep_takes_at_most_many(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger, 150)
    ledger.claim("dead", 100, 30)
    ledger.claim("dead", 100, 30)
    clock.forward(31)
    assert [len(ledger.sweep()) for _ in range(3)] == [100, 50, 0]


def test_a_run_that_crashes_alone_again_and_again_is_poison(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    [arrival] = arrived(ledger)
    claimed(ledger)
    clock.forward(31)
    ledger.sweep()
    for crashes in range(POISON_CRASHES):
        assert record(catalog, arrival.file_id).status == Status.QUEUED
        assert record(catalog, arrival.file_id).attempts == crashes
        crash_alone(ledger, clock)
    found = record(catalog, arrival.file_id)
    assert (found.status, found.state) == (Status.QUARANTINED, State.DEAD)
    assert found.error_message.startswith("POISON: ")
    assert kinds(catalog, arrival.file_id) == ["arrived", "expired", "expired", "expired", "quarantined"]
    assert ledger.claim("worker", 1, 30) == []


def test_a_large_run_that_crashes_alone_is_poison_too(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    [arrival] = arrived(ledger, size=LARGE + 1)
    claimed(ledger)
    clock.forward(31)
    ledger.sweep()
    assert ledger.claim("worker", 10, 30, max_size=LARGE) == []
    for _ in range(POISON_CRASHES):
        crash_alone(ledger, clock)
    assert record(catalog, arrival.file_id).status == Status.QUARANTINED


def test_innocents_around_a_poison_file_are_never_dead(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    files = [a.file_id for a in arrived(ledger, 100)]
    poison = files[37]
    while runs := ledger.claim("worker", 100, 30):
        if poison in [run.id for run in runs]:
            clock.forward(31)
            ledger.sweep()
        else:
            ledger.settle([transferred(run) for run in runs])
    statuses = {id: record(catalog, id).status for id in files}
    assert statuses.pop(poison) == Status.QUARANTINED
    assert set(statuses.values()) == {Status.TRANSFERRED}


def test_claims_alone_never_kill(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    for _ in range(20):
        ledger.release([lease(claimed(ledger))])
    assert record(catalog, arrival.file_id).status == Status.QUEUED


# -- replay


def test_a_dead_run_is_replayed_from_the_start(ledger: Ledger, catalog: Catalog) -> None:
    run = checkpointed(ledger, checkpoint := a_checkpoint())
    ledger.settle([retried(run, START)])
    ledger.settle([failed(claimed(ledger))])
    assert ledger.replay([run.id]) == [True]
    found = record(catalog, run.id)
    assert (found.status, found.state, found.attempts, found.error_message) == (Status.QUEUED, State.READY, 0, "")
    assert (found.pipeline, found.revision, found.delivered) == ("", "", ())
    again = claimed(ledger)
    assert (again.tries, again.crashes, again.token) == (0, 0, 3)
    assert again.checkpoint == replace(checkpoint, revision="")
    assert kinds(catalog, run.id) == ["arrived", "retry", "failed", "replayed"]


def test_replays_are_counted_and_nothing_else_that_begins_again_is(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger)
    ledger.release([lease(claimed(ledger))])
    ledger.settle([retried(claimed(ledger), START)])
    claimed(ledger)
    clock.forward(31)
    ledger.sweep()
    run = claimed(ledger)
    assert run.replays == 0
    for n, end in enumerate([failed, quarantined, transferred, unrouted], 1):
        ledger.settle([end(run)])
        assert [ledger.replay([run.id]) for _ in range(2)] == [[True], [True]]  # the second finds it where it is
        run = claimed(ledger)
        assert run.replays == n


def test_a_replayed_poison_file_is_not_alone_any_more(ledger: Ledger, clock: Clock) -> None:
    [arrival] = arrived(ledger)
    claimed(ledger)
    clock.forward(31)
    ledger.sweep()
    for _ in range(POISON_CRASHES):
        crash_alone(ledger, clock)
    ledger.replay([arrival.file_id])
    run = claimed(ledger)
    assert (run.solo, run.crashes) == (False, 0)


def test_a_transferred_file_can_be_replayed(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    run = claimed(ledger)
    ledger.settle([transferred(run)])
    assert ledger.replay([run.id]) == [True]
    found = record(catalog, run.id)
    assert (found.status, found.transfer_timestamp, found.delivered) == (Status.QUEUED, None, ())


def test_a_leased_run_is_not_replayed(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    run = claimed(ledger)
    assert ledger.replay([run.id, "NONE"]) == [False, False]
    assert ledger.settle([transferred(run)]) == [True]


def test_a_waiting_retry_is_replayed_at_once(ledger: Ledger) -> None:
    arrived(ledger)
    run = claimed(ledger)
    ledger.settle([retried(run, START + 900)])
    assert ledger.replay([run.id]) == [True]
    assert claimed(ledger).tries == 0


def test_a_replay_of_what_has_not_begun_changes_nothing(ledger: Ledger, catalog: Catalog) -> None:
    run = checkpointed(ledger, a_checkpoint())
    ledger.settle([failed(run)])
    assert [ledger.replay([run.id]) for _ in range(3)] == [[True]] * 3
    assert kinds(catalog, run.id) == ["arrived", "failed", "replayed"]


# -- clock


def test_a_clock_that_jumps_ahead_costs_no_file(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    arrived(ledger)
    run = claimed(ledger)
    clock.forward(10_000_000)
    ledger.sweep()
    heir = claimed(ledger)
    clock.forward(-10_000_000)
    assert ledger.settle([transferred(run)]) == [False]
    assert ledger.settle([transferred(heir)]) == [True]
    assert record(catalog, run.id).status == Status.TRANSFERRED


def test_a_clock_that_is_set_back_takes_no_lease_away(ledger: Ledger, clock: Clock) -> None:
    arrived(ledger, 2)
    run = claimed(ledger)
    clock.forward(-10_000)
    assert ledger.sweep() == []
    assert claimed(ledger).id != run.id
    assert ledger.extend([lease(run)], 30) == [True]
    clock.forward(31)
    assert run.id in ledger.sweep()


# -- revisions


def test_a_registered_pipeline_can_be_read(ledger: Ledger, catalog: Catalog) -> None:
    ledger.register("ab" * 32, "claims", '{"steps":[]}')
    ledger.register("ab" * 32, "claims", '{"steps":[]}')
    assert catalog.revision("ab" * 32) == '{"steps":[]}'
    assert catalog.revision("cd" * 32) is None


def test_a_pipeline_may_be_registered_after_its_first_use(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    ledger.settle([transferred(claimed(ledger))])
    assert catalog.revision("f" * 64) is None
    ledger.register("f" * 64, "claims", "{}")
    assert catalog.revision("f" * 64) == "{}"
