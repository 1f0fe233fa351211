from __future__ import annotations

from dataclasses import replace

from rig.records import NOW, record
from wharfinger.cli.why import why
from wharfinger.model import ChildRecord, State, Status

TRIES = {"claims": 3}


def test_a_retry_tells_which_try_comes_and_when() -> None:
    waiting = record(
        state=State.READY, status=Status.PROCESSING, attempts=1, due=NOW + 14, error_message="host is down"
    )
    reason = why(waiting, TRIES, NOW)
    assert reason is not None
    assert "try 2 of 3" in reason.text
    assert reason.until == NOW + 14


def test_a_retry_that_is_due_waits_for_a_worker() -> None:
    reason = why(record(state=State.READY, attempts=1, due=NOW - 1, error_message="host is down"), TRIES, NOW)
    assert reason is not None
    assert "in line" in reason.text
    assert reason.until is None


def test_a_leased_file_tells_its_worker_and_when_another_takes_over() -> None:
    reason = why(record(state=State.LEASED, status=Status.PROCESSING, due=NOW + 30, owner="worker-1-ab"), TRIES, NOW)
    assert reason is not None
    assert "worker-1-ab" in reason.text
    assert reason.until == NOW + 30


def test_an_unrouted_file_is_told_to_ask_the_router() -> None:
    reason = why(record(state=State.WAITING), TRIES, NOW)
    assert reason is not None
    assert reason.next.startswith("wharf route explain ")


def test_a_dead_letter_is_told_to_be_replayed() -> None:
    reason = why(record(state=State.DEAD, status=Status.FAILED), TRIES, NOW)
    assert reason is not None
    assert reason.next.startswith("wharf replay ")


def test_every_state_but_done_has_a_reason() -> None:
    reasons = {state: why(replace(record(), state=state), TRIES, NOW) for state in State}
    assert [state for state, reason in reasons.items() if reason is None] == [State.DONE]


def test_who_waits_for_children_says_for_how_many() -> None:
    reason = why(record(state=State.WAITING, status=Status.PROCESSING, waits=3), TRIES, NOW)
    assert reason is not None
    assert (reason.text, reason.next) == ("3 child runs to end", f"wharf file {record().file_id}")


def test_who_waits_for_children_says_which_holds_it_up_why_and_until_when() -> None:
    worst = ChildRecord(
        id="R",
        parent="P",
        pipeline="claims",
        step="each",
        member="b.gz",
        size=1,
        state=State.READY,
        status=Status.PROCESSING,
        attempts=1,
        error_message="HOST_DOWN: host is down",
        waits=0,
        due=NOW + 14,
    )
    reason = why(record(state=State.WAITING, status=Status.PROCESSING, waits=3), TRIES, NOW, worst)
    assert reason is not None
    assert (
        reason.text
        == "3 child runs to end; claims of b.gz: HOST_DOWN: host is down; failed before; try 2 of 3 comes at"
    )
    assert reason.until == NOW + 14
