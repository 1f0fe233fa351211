from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from rig.databases import Clock
from rig.draining import drain
from rig.losing import lose_answer
from rig.waiting import wait_until
from rig.yard import PIPELINES, STEPS, Yard, a_pipeline, a_step, bound
from wharfinger.config.entry import Retry, Route
from wharfinger.engine.failure import RESPITE_S
from wharfinger.engine.worker import EXPRESS_BATCH
from wharfinger.errors import (
    Busy,
    ConfigError,
    LedgerError,
    LostAnswer,
    NameRefused,
    NoSpace,
    StoreError,
    Transient,
    Unreachable,
    WharfingerError,
)
from wharfinger.ingest import land
from wharfinger.ledger import LARGE
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import Arrival, Delivered, Outcome, State, Status, file_id
from wharfinger.steps import Output, Reader, Result, Scratch
from wharfinger.store import Delivery, noted_delivery


def test_files_are_delivered_byte_for_byte(yard: Yard) -> None:
    files = {"a": b"", "in/b c#1": b"bytes", "in/ü": os.urandom(3_000_000)}
    yard.land(files)
    drain(yard.worker(PIPELINES["plain"]))
    assert yard.visible() == {f"acme/{name}": data for name, data in files.items()}
    assert set(yard.statuses().values()) == {"transferred"}


def test_deliveries_are_known_to_the_ledger_and_to_the_journal(yard: Yard) -> None:
    (arrival,) = yard.land({"a": b"bytes"})
    drain(yard.worker(PIPELINES["plain"]))
    (delivered,) = yard.records()["a"].delivered
    assert (delivered.destination, delivered.key, delivered.sha256) == ("out", "acme/a", arrival.sha256)
    assert [noted_delivery(note) for note in yard.store.notes()] == [(arrival.file_id, (delivered,), "", 0)]


def test_facts_and_step_records_are_in_the_history(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    drain(yard.worker(PIPELINES["full"]))
    event = yard.catalog.events(yard.records()["a"].file_id)[-1]
    assert event.data["facts"] == {"upper": {"size": 5}}
    assert [(step["name"], step["uses"], step["outcome"]) for step in event.data["steps"]] == [
        ("upper", "upper@1", "ok"),
        ("keep", "send@1", "ok"),
        ("obey", "obey@1", "ok"),
        ("send", "send@1", "ok"),
    ]


def test_an_arrival_runs_again_to_the_same_versions(yard: Yard) -> None:
    (arrival,) = yard.land({"a": b"bytes"})
    worker = yard.worker(PIPELINES["full"])
    drain(worker)
    first = yard.records()["a"].delivered
    yard.ledger.replay([arrival.file_id])
    drain(worker)
    again = yard.records()["a"].delivered
    assert [replace(each, at=0.0) for each in again] == [replace(each, at=0.0) for each in first]
    assert yard.lake() == {"acme/a": [b"BYTES"]}


# The failure table


def test_rejected_bytes_are_quarantined(yard: Yard) -> None:
    yard.land({"a": b"reject", "b": b"fine"})
    drain(yard.worker(PIPELINES["obey"]))
    record = yard.records()["a"]
    assert (record.state, record.status) == (State.DEAD, Status.QUARANTINED)
    assert record.error_message == "TOLD_SO: the file says so"
    assert yard.statuses()["b"] == "transferred"
    assert set(yard.visible()) == {"acme/b"}


@pytest.mark.parametrize(("word", "code"), [("transient", "TOLD_SO"), ("raise", "STEP_ERROR")])
def test_what_may_pass_is_tried_until_the_tries_are_spent(yard: Yard, word: str, code: str) -> None:
    yard.land({"a": word.encode(), "b": b"fine"})
    drain(yard.worker(PIPELINES["obey"]))
    record = yard.records()["a"]
    assert (record.state, record.status, record.attempts) == (State.DEAD, Status.FAILED, 3)
    assert record.error_message.startswith(code)
    assert yard.history("a") == ["arrived", "retry", "retry", "failed"]
    assert yard.statuses()["b"] == "transferred"


def test_while_a_try_is_to_come_the_file_says_why_and_until_when(yard: Yard) -> None:
    yard.land({"a": b"transient"})
    slow = replace(PIPELINES["obey"], retry=Retry(tries=2, base_s=60, cap_s=60))
    assert yard.worker(slow, rand=lambda: 0.5).turn() == 1
    record = yard.records()["a"]
    assert (record.state, record.status, record.attempts) == (State.READY, Status.PROCESSING, 1)
    assert record.due is not None
    assert 25 < record.due - time.time() < 31
    assert record.error_message == "TOLD_SO: the file says so"


def test_a_try_that_succeeds_leaves_no_trace_of_the_failure(yard: Yard) -> None:
    def fails_once(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        if not (yard.root / "failed").exists():
            (yard.root / "failed").touch()
            raise Transient("once")
        return Result([Output.unchanged(inputs[0])])

    yard.land({"a": b"bytes"})
    steps = {**STEPS, "flaky": a_step("flaky", fails_once)}
    drain(yard.worker(a_pipeline(bound("flaky"), bound("send", "out")), steps=steps))
    assert (yard.records()["a"].status, yard.records()["a"].error_message) == (Status.TRANSFERRED, "")


class Place:
    """A target that refuses what it is told to, and delivers the rest."""

    def __init__(self, inner: Any, refuse: Callable[[Delivery], WharfingerError | None]) -> None:
        self.inner, self.refuse = inner, refuse
        self.calls: list[int] = []

    def deliver(self, deliveries: Sequence[Delivery]) -> list[Delivered | WharfingerError]:
        self.calls.append(len(deliveries))
        return [self.refuse(each) or self.inner.deliver([each])[0] for each in deliveries]

    def head(self, key: str) -> int | None:
        return self.inner.head(key)  # type: ignore[no-any-return]


def refusing(name: str, error: WharfingerError) -> Callable[[Delivery], WharfingerError | None]:
    return lambda delivery: error if delivery.key.endswith(name) else None


@pytest.mark.parametrize(
    ("error", "status", "attempts"),
    [
        (NameRefused("no such name"), Status.QUARANTINED, 1),
        (StoreError("EIO"), Status.FAILED, 3),
        (Transient("not mounted"), Status.FAILED, 3),
    ],
    ids=repr,
)
def test_a_refused_delivery_fails_its_own_file_alone(
    yard: Yard, error: WharfingerError, status: Status, attempts: int
) -> None:
    yard.targets["out"] = place = Place(yard.targets["out"], refusing("/a", error))  # type: ignore[assignment]
    yard.land({"a": b"bytes", "b": b"bytes"})
    drain(yard.worker(PIPELINES["plain"]))
    record = yard.records()["a"]
    assert (record.status, record.attempts) == (status, attempts)
    assert yard.statuses()["b"] == "transferred"
    assert place.calls[0] == 2
    last = yard.catalog.events(record.file_id)[-1].data["steps"][-1]
    assert (last["name"], last["outcome"]) == ("send", "rejected" if attempts == 1 else "transient")


def test_a_full_disk_of_ours_costs_no_tries(yard: Yard) -> None:
    yard.targets["out"] = Place(yard.targets["out"], refusing("/a", NoSpace("full")))  # type: ignore[assignment]
    yard.land({"a": b"bytes"})
    times = [0.0]
    worker = yard.worker(PIPELINES["plain"], rand=lambda: 0.0, clock=lambda: time.time() - times[0])
    for _ in range(5):
        assert worker.turn() == 1
    record = yard.records()["a"]
    assert (record.state, record.status, record.attempts) == (State.READY, Status.PROCESSING, 0)
    assert record.error_message == "NO_SPACE: full"
    times[0] = -0.5 * RESPITE_S


def test_a_target_that_fails_as_a_whole_is_asked_by_halves(yard: Yard) -> None:
    def explode(delivery: Delivery) -> WharfingerError | None:
        if delivery.key.endswith("/a"):
            raise RuntimeError("bug")
        return None

    yard.targets["out"] = place = Place(yard.targets["out"], explode)  # type: ignore[assignment]
    yard.land({"a": b"bytes", "b": b"bytes", "c": b"bytes"})
    yard.worker(PIPELINES["plain"]).turn()
    assert place.calls == [3, 1, 2]
    assert yard.records()["a"].error_message.startswith("STEP_ERROR: RuntimeError, at test_worker.py:")
    assert set(yard.visible()) == {"acme/b", "acme/c"}


def test_a_target_whose_service_is_away_is_asked_once(yard: Yard) -> None:
    def away(_: Delivery) -> WharfingerError | None:
        raise Unreachable("no answer")

    yard.targets["out"] = place = Place(yard.targets["out"], away)  # type: ignore[assignment]
    yard.land({"a": b"bytes", "b": b"bytes", "c": b"bytes"})
    yard.worker(PIPELINES["plain"]).turn()
    assert place.calls == [3]
    assert {record.error_message for record in yard.records().values()} == {"STORE_UNREACHABLE: no answer"}


def test_deliveries_of_a_group_go_to_a_target_in_one_call(yard: Yard) -> None:
    yard.targets["out"] = place = Place(yard.targets["out"], lambda _: None)  # type: ignore[assignment]
    yard.land({str(n): b"bytes" for n in range(40)})
    assert yard.worker(PIPELINES["plain"], batch=32).turn() == 32
    assert place.calls == [32]


def test_what_a_step_ordered_before_it_failed_is_not_delivered(yard: Yard) -> None:
    def order_and_fail(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        scratch.destinations["out"].copy(inputs[0], "acme/a")
        raise Transient("after all")

    yard.land({"a": b"bytes"})
    steps = {"fickle": a_step("fickle", order_and_fail, destinations=lambda _: ("out",))}
    drain(yard.worker(a_pipeline(bound("fickle")), steps=steps))
    assert yard.visible() == {}
    assert yard.statuses() == {"a": "failed"}


def test_without_a_note_in_the_journal_nothing_is_settled_as_transferred(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_notes: Any) -> None:
        raise NoSpace("journal full")

    yard.land({"a": b"bytes"})
    with monkeypatch.context() as patch:
        patch.setattr(yard.store, "note", full)
        yard.worker(PIPELINES["plain"], rand=lambda: 0.0).turn()
        assert yard.records()["a"].error_message == "NO_SPACE: journal full"
        assert yard.statuses() == {"a": "processing"}
    drain(yard.worker(PIPELINES["plain"]))
    assert yard.statuses() == {"a": "transferred"}


# Routing


def test_an_unrouted_file_waits_and_says_so_until_it_is_replayed(yard: Yard) -> None:
    (arrival,) = yard.land({"a.pdf": b"bytes"})
    yard.worker(replace(PIPELINES["plain"], route=Route(key=("*.csv",)))).turn()
    record = yard.records()["a.pdf"]
    assert (record.state, record.status) == (State.WAITING, Status.UPLOADED)
    assert record.error_message.startswith("UNROUTED: no pipeline takes 'a.pdf'")
    yard.ledger.replay([arrival.file_id])
    drain(yard.worker(PIPELINES["plain"]))
    assert yard.statuses() == {"a.pdf": "transferred"}


def test_each_file_goes_the_way_of_its_own_pipeline(yard: Yard) -> None:
    csv = replace(PIPELINES["plain"], name="csv", route=Route(key=("*.csv",)))
    rest = a_pipeline(bound("upper"), bound("send", "lake"), name="rest")
    yard.land({"a.csv": b"bytes", "b.txt": b"bytes", "c.csv": b"bytes"})
    drain(yard.worker(csv, rest))
    assert set(yard.visible()) == {"acme/a.csv", "acme/c.csv"}
    assert yard.lake() == {"acme/b.txt": [b"BYTES"]}
    assert {name: record.pipeline for name, record in yard.records().items()} == {
        "a.csv": "csv",
        "b.txt": "rest",
        "c.csv": "csv",
    }


def test_a_pipeline_without_steps_transfers_at_once(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    drain(yard.worker(a_pipeline()))
    assert yard.statuses() == {"a": "transferred"}
    assert len([*yard.store.notes()]) == 1


def test_a_pipeline_without_steps_fails_only_for_want_of_its_note(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_notes: Any) -> None:
        raise StoreError("EIO")

    yard.land({"a": b"bytes"})
    monkeypatch.setattr(yard.store, "note", broken)
    drain(yard.worker(a_pipeline()))
    assert yard.records()["a"].error_message == "STORE_FAILED: EIO"


def test_what_cannot_be_run_here_is_refused_at_the_start(yard: Yard) -> None:
    with pytest.raises(ConfigError, match="pipeline all, step zip: no step 'zip' is installed"):
        yard.worker(a_pipeline(bound("zip")))
    with pytest.raises(ConfigError, match="pipeline all, step send: no destination 'moon'"):
        yard.worker(a_pipeline(bound("send", "moon")))


# Conditions and checkpoints


def test_a_step_whose_condition_does_not_hold_is_skipped(yard: Yard) -> None:
    is_long = bound("upper", name="shout", when=lambda context: context["file"]["size"] > 3)
    is_shouted = bound("send", "out", when=lambda context: "shout" in context["steps"])
    yard.land({"a": b"abc", "b": b"abcd"})
    drain(yard.worker(a_pipeline(is_long, is_shouted)))
    assert yard.visible() == {"acme/b": b"ABCD"}
    steps = yard.catalog.events(yard.records()["a"].file_id)[-1].data["steps"]
    assert [step["outcome"] for step in steps] == ["skipped", "skipped"]


def counting(yard: Yard) -> Any:
    """A costly step: capital letters, and a mark for each time that it ran."""

    def run(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        with (yard.root / "marks").open("a") as marks:
            marks.write("x")
        return STEPS["upper"].run(inputs, told, scratch)

    return {**STEPS, "costly": a_step("costly", run)}


def marks(yard: Yard) -> int:
    return len((yard.root / "marks").read_text())


def test_a_retry_resumes_at_the_checkpoint(yard: Yard) -> None:
    pipeline = a_pipeline(bound("costly", checkpoint=True), bound("obey"), bound("send", "out"))
    yard.land({"a": b"transient"})
    drain(yard.worker(pipeline, steps=counting(yard)))
    assert yard.statuses() == {"a": "failed"}
    assert yard.records()["a"].attempts == 3
    assert marks(yard) == 1


def test_a_checkpoint_carries_facts_names_and_deliveries(yard: Yard) -> None:
    pipeline = a_pipeline(
        bound("send", "lake", name="first"),
        bound("costly", checkpoint=True),
        bound("send", "out", when=lambda context: context["steps"]["costly"]["size"] == 5),
    )
    yard.targets["out"] = Place(yard.targets["out"], refusing("/a", Transient("down")))  # type: ignore[assignment]
    yard.land({"a": b"bytes"})
    yard.worker(pipeline, steps=counting(yard)).turn()
    yard.targets["out"] = yard.targets["out"].inner  # type: ignore[attr-defined]
    drain(yard.worker(pipeline, steps=counting(yard)))
    record = yard.records()["a"]
    assert record.status == Status.TRANSFERRED
    assert [each.destination for each in record.delivered] == ["lake", "out"]
    assert yard.visible() == {"acme/a": b"BYTES"}
    assert marks(yard) == 1


def test_a_checkpoint_of_another_revision_is_void(yard: Yard) -> None:
    before = a_pipeline(bound("costly", checkpoint=True), bound("obey"))
    after = a_pipeline(bound("obey", name="look"), bound("costly", checkpoint=True), bound("send", "out"))
    yard.land({"a": b"transient"})
    yard.worker(before, steps=counting(yard)).turn()
    drain(yard.worker(after, steps=counting(yard)))
    assert marks(yard) == 1
    assert yard.statuses() == {"a": "failed"}  # at the step `look`, which now comes first


def test_a_checkpoint_whose_objects_are_gone_is_void(yard: Yard) -> None:
    pipeline = a_pipeline(bound("costly", checkpoint=True), bound("obey"))
    yard.land({"a": b"transient"})
    worker = yard.worker(pipeline, steps=counting(yard))
    worker.turn()
    (kept,) = yard.store.list("checkpoints")
    yard.store.delete([kept.ref])
    drain(worker)
    assert marks(yard) == 2


def test_a_store_that_cannot_be_asked_about_a_checkpoint_is_a_failure_like_others(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_refs: Any) -> Any:
        raise StoreError("EIO")

    pipeline = a_pipeline(bound("costly", checkpoint=True), bound("obey"))
    yard.land({"a": b"transient"})
    worker = yard.worker(pipeline, steps=counting(yard))
    worker.turn()
    monkeypatch.setattr(yard.store, "head", broken)
    drain(worker)
    assert yard.records()["a"].error_message == "STORE_FAILED: EIO"


@pytest.mark.parametrize("data", [b"fine", b"reject"])
def test_what_a_checkpoint_kept_goes_when_the_run_has_ended(yard: Yard, data: bytes) -> None:
    yard.land({"a": data})
    drain(yard.worker(a_pipeline(bound("upper", checkpoint=True), bound("obey"))))
    assert [*yard.store.list("checkpoints")] == []
    assert yard.records()["a"].status.is_final


def test_what_a_dead_worker_did_not_remove_goes_with_the_next_claim(yard: Yard) -> None:
    yard.land({"a": b"transient"})
    worker = yard.worker(a_pipeline(bound("upper", checkpoint=True), bound("obey")))
    worker.turn()
    (run,) = wait_until("the retry is due", lambda: yard.ledger.claim("dead", 1, 30.0))
    yard.ledger.settle([Outcome(run.id, run.token, State.DEAD, Status.FAILED)])
    assert len([*yard.store.list("checkpoints")]) == 1
    yard.land({"b": b"fine"})
    worker.turn()
    assert [*yard.store.list("checkpoints")] == []


def test_what_cannot_be_removed_holds_nothing_else_up(yard: Yard) -> None:
    yard.land({"a": b"transient", "b": b"transient", "c": b"transient"})
    worker = yard.worker(a_pipeline(bound("upper", checkpoint=True), bound("obey")))
    worker.turn()
    for _ in range(3):
        (run,) = wait_until("the retry is due", lambda: yard.ledger.claim("dead", 1, 30.0))
        yard.ledger.settle([Outcome(run.id, run.token, State.DEAD, Status.FAILED)])
    stuck, *_ = yard.ledger.obsolete_checkpoints()
    assert stuck.checkpoint
    (ref,) = stuck.checkpoint.kept
    (path,) = (yard.root / "store/objects").rglob(file_id(ref.bucket, ref.key, ref.version))
    path.unlink()
    path.mkdir()
    yard.land({"d": b"fine"})
    worker.turn()
    assert yard.ledger.obsolete_checkpoints() == [stuck]
    assert [listed.ref for listed in yard.store.list("checkpoints")] == [ref]
    path.rmdir()
    yard.land({"e": b"fine"})
    yard.worker(PIPELINES["plain"]).turn()  # another process, which was refused nothing yet
    assert yard.ledger.obsolete_checkpoints() == []


def test_a_removal_that_comes_too_late_takes_nothing_from_a_replay(yard: Yard) -> None:
    (arrival,) = yard.land({"a": b"transient"})
    worker = yard.worker(a_pipeline(bound("upper", checkpoint=True), bound("obey")))
    worker.turn()
    (run,) = wait_until("the retry is due", lambda: yard.ledger.claim("dead", 1, 30.0))
    yard.ledger.settle([Outcome(run.id, run.token, State.DEAD, Status.FAILED)])
    (before,) = yard.store.list("checkpoints")
    yard.ledger.replay([arrival.file_id])
    worker.turn()
    yard.store.delete([before.ref])
    (run,) = wait_until("the retry is due", lambda: yard.ledger.claim("next", 1, 30.0))
    assert run.checkpoint
    assert yard.store.head([ref for ref, _, _ in run.checkpoint.inputs]) == [9]


def test_what_a_checkpoint_kept_before_a_replay_goes_too_and_is_not_gone_on_from(yard: Yard) -> None:
    (arrival,) = yard.land({"a": b"transient"})
    costly = bound("costly", checkpoint=True)
    yard.worker(a_pipeline(costly, bound("obey")), steps=counting(yard)).turn()
    yard.ledger.replay([arrival.file_id])
    yard.worker(a_pipeline(costly, bound("obey")), steps=counting(yard)).turn()
    assert marks(yard) == 2
    yard.ledger.replay([arrival.file_id])
    drain(yard.worker(a_pipeline(bound("obey"))))
    assert yard.statuses() == {"a": "failed"}
    assert [*yard.store.list("checkpoints")] == []


def test_what_a_checkpoint_kept_before_the_last_goes_too(yard: Yard) -> None:
    yard.land({"a": b"transient"})
    shout, again = bound("upper", checkpoint=True), bound("upper", name="again", checkpoint=True)
    worker = yard.worker(a_pipeline(shout, again, bound("obey")))
    worker.turn()
    assert len([*yard.store.list("checkpoints")]) == 2
    drain(worker)
    assert yard.statuses() == {"a": "failed"}
    assert [*yard.store.list("checkpoints")] == []


def test_an_arrival_is_never_taken_for_what_a_checkpoint_kept(yard: Yard) -> None:
    (arrival,) = land(yard.store, yard.ledger, "checkpoints", [yard._upload("acme", "a", b"transient")])
    assert isinstance(arrival, Arrival)
    drain(yard.worker(a_pipeline(bound("send", "out", checkpoint=True), bound("obey"))))
    assert yard.statuses() == {"a": "failed"}
    assert yard.store.head([arrival.ref]) == [9]


def test_a_checkpoint_at_the_last_step_is_none(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yard.store, "put", None)
    (arrival,) = landed_before(yard, monkeypatch)
    drain(yard.worker(a_pipeline(bound("upper", checkpoint=True))))
    assert yard.catalog.file(arrival.file_id).status == Status.TRANSFERRED  # type: ignore[union-attr]


def landed_before(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> Any:
    put = type(yard.store).put
    with monkeypatch.context() as patch:
        patch.setattr(yard.store, "put", lambda puts: put(yard.store, puts))
        return yard.land({"a": b"bytes"})


def test_an_input_handed_on_needs_no_publishing(yard: Yard) -> None:
    yard.land({"a": b"transient"})
    drain(yard.worker(a_pipeline(bound("send", "out", checkpoint=True), bound("obey"))))
    assert [*yard.store.list("checkpoints")] == []
    record = yard.records()["a"]
    assert [each.destination for each in record.delivered] == ["out"]


def test_a_checkpoint_that_cannot_be_kept_fails_its_own_file_alone(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    yard.land({"a": b"bytes", "b": b"other"})
    put = yard.store.put

    def refuse(puts: Any) -> Any:
        return [
            StoreError("EIO") if each.ref.size == 5 and each.path.read_bytes() == b"BYTES" else put([each])[0]
            for each in puts
        ]

    monkeypatch.setattr(yard.store, "put", refuse)
    drain(yard.worker(a_pipeline(bound("upper", checkpoint=True), bound("send", "out"))))
    assert yard.statuses() == {"a": "failed", "b": "transferred"}


def test_an_output_that_vanished_before_its_checkpoint_fails_the_file(yard: Yard) -> None:
    def vanish(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        made = scratch.path / "made"
        made.write_bytes(b"made")
        doomed.append(scratch.path)
        return Result([Output(made, "made")])

    class Spiteful:
        """Removes what steps have made, as a delivery by another step of the group might."""

        def deliver(self, deliveries: Sequence[Delivery]) -> list[Delivered | WharfingerError]:
            for path in doomed:
                shutil.rmtree(path, ignore_errors=True)
            return [Transient("spite") for _ in deliveries]

        def head(self, _key: str) -> int | None:
            return None

    doomed: list[Any] = []
    yard.targets["out"] = Spiteful()  # type: ignore[assignment]
    steps = {**STEPS, "vanish": a_step("vanish", vanish)}
    vanishing = a_pipeline(bound("vanish", checkpoint=True), bound("obey"), name="v", route=Route(key=("v",)))
    yard.land({"v": b"bytes", "s": b"bytes"})
    yard.worker(vanishing, PIPELINES["plain"], steps=steps).turn()
    assert yard.records()["v"].error_message.startswith("STEP_ERROR: FileNotFoundError")


# The claim


def test_busy_ledgers_are_waited_for(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(name: str, times: int) -> None:
        verb = getattr(yard.ledger, name)

        def answer(*args: Any, **kw: Any) -> Any:
            left[name] -= 1
            if left[name] >= 0:
                raise Busy("storm")
            return verb(*args, **kw)

        left = {name: times}
        monkeypatch.setattr(yard.ledger, name, answer)

    yard.land({"a": b"bytes"})
    worker = yard.worker(PIPELINES["full"])
    busy("claim", 1)
    assert worker.turn() == 0
    busy("settle", 2)
    busy("extend", 2)
    assert worker.turn() == 1
    assert yard.statuses() == {"a": "transferred"}


@pytest.mark.parametrize("is_done", [True, False], ids=["done", "not done"])
@pytest.mark.parametrize("verb", ["claim", "extend", "settle"])
def test_an_answer_of_the_ledger_that_is_lost_costs_no_file_a_try(
    yard: Yard, verb: str, is_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.land({"a": b"bytes", "b": b"reject"})
    worker = yard.worker(PIPELINES["full"])
    lost = lose_answer(yard.ledger, verb, monkeypatch, is_done=is_done)
    assert worker.turn() == 0
    assert lost == [verb]
    drain(worker)
    assert yard.statuses() == {"a": "transferred", "b": "quarantined"}
    assert yard.visible() == {"acme/a": b"BYTES"}
    assert {record.attempts for record in yard.records().values()} == {1}
    assert set(yard.history("a")) <= {"arrived", "released", "transferred"}


@pytest.mark.parametrize("is_done", [True, False], ids=["done", "not done"])
@pytest.mark.parametrize("verb", ["settle", "release"])
def test_a_worker_that_ends_leaves_nothing_in_doubt(
    yard: Yard, verb: str, is_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last_words(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        worker.stop()
        return Result([Output.unchanged(inputs[0])])

    yard.land({"a": b"bytes", "b": b"bytes"})
    steps = {**STEPS, "last": a_step("last", last_words)}
    worker = yard.worker(a_pipeline(bound("last"), bound("send", "out")), steps=steps)
    lost = lose_answer(yard.ledger, verb, monkeypatch, is_done=is_done)
    worker.work()
    assert lost == [verb]
    assert yard.catalog.counts().runs[State.LEASED] == 0
    assert {kind for name in "ab" for kind in yard.history(name)} <= {"arrived", "released", "transferred"}


@pytest.mark.parametrize("error", [Busy("away"), LostAnswer("lost again")], ids=["away", "lost again"])
def test_a_worker_in_doubt_ends_though_the_ledger_stays_away(
    yard: Yard, error: LedgerError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*, owner: str | None, crashed: bool) -> list[str]:
        if owner:
            worker.stop()
            raise error
        return []

    yard.land({"a": b"bytes"})
    worker = yard.worker(PIPELINES["full"])
    lose_answer(yard.ledger, "settle", monkeypatch, is_done=False)
    monkeypatch.setattr(yard.ledger, "sweep", away)
    worker.work()
    assert os.listdir(yard.root / "store" / "scratch") == []
    assert yard.catalog.counts().runs[State.LEASED] == 1


def test_slow_files_are_claimed_in_smaller_groups(yard: Yard) -> None:
    yard.land({str(n): b"sleep 0.1" for n in range(4)})
    worker = yard.worker(PIPELINES["obey"], batch=3)
    assert worker.turn() == 3
    yard.land({str(n + 9): b"fine" for n in range(9)})
    assert worker.turn() == 2
    assert worker.turn() == 3


def test_an_express_worker_leaves_large_files_to_others(yard: Yard) -> None:
    yard.land({"large": bytes(LARGE + 1), "small": b"bytes"})
    drain(yard.worker(PIPELINES["plain"], express=True))
    assert yard.statuses() == {"large": "uploaded", "small": "transferred"}
    drain(yard.worker(PIPELINES["plain"]))
    assert yard.statuses() == {"large": "transferred", "small": "transferred"}


def test_a_run_that_somebody_else_has_taken_is_neither_delivered_nor_settled(yard: Yard) -> None:
    def lose(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        time.sleep(0.3)
        assert yard.ledger.sweep(owner="slow")
        return Result([Output.unchanged(inputs[0])])

    yard.land({"a": b"bytes"})
    steps = {**STEPS, "lose": a_step("lose", lose)}
    pipeline = a_pipeline(bound("lose"), bound("send", "out"))
    yard.worker(pipeline, steps=steps, owner="slow", lease_s=0.2).turn()
    assert yard.visible() == {}
    assert "stale" not in yard.history("a")
    assert yard.statuses() == {"a": "queued"}


def test_scratch_is_empty_between_turns(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    worker = yard.worker(a_pipeline(bound("upper"), bound("upper", name="again"), bound("send", "out")))
    drain(worker)
    (room,) = (yard.root / "store" / "scratch").iterdir()
    assert os.listdir(room) == ["owner"]
    assert yard.visible() == {"acme/a": b"BYTES"}


@pytest.mark.parametrize(("express", "claimed"), [(False, 40), (True, EXPRESS_BATCH)])
def test_one_customers_flood_does_not_delay_anothers_single_file(yard: Yard, express: bool, claimed: int) -> None:
    yard.land({str(n): b"bytes" for n in range(100)}, customer="flood")
    worker = yard.worker(PIPELINES["plain"], express=express, batch=40)
    assert worker.turn() == claimed
    yard.land({"single": b"bytes"}, customer="acme")
    assert worker.turn() == claimed
    assert yard.statuses()["single"] == "transferred"
    assert list(yard.statuses().values()).count("transferred") == 2 * claimed


def test_work_registers_its_pipelines_and_ends_when_it_is_told_to(yard: Yard) -> None:
    yard.land({str(n): b"bytes" for n in range(10)})
    worker = yard.worker(PIPELINES["plain"])

    def stop_when_done() -> None:
        wait_until("all are delivered", lambda: set(yard.statuses().values()) == {"transferred"})
        worker.stop()

    thread = threading.Thread(target=stop_when_done)
    thread.start()
    worker.work()
    thread.join()
    assert yard.catalog.revision(PIPELINES["plain"].revision) == PIPELINES["plain"].document
    assert [*(yard.root / "store" / "scratch").iterdir()] == []


def test_a_stopped_worker_finishes_what_has_begun_and_gives_the_rest_back(yard: Yard) -> None:
    def last_words(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        worker.stop()
        return Result([Output.unchanged(inputs[0])])

    yard.land({"a": b"bytes", "b": b"bytes"})
    steps = {**STEPS, "last": a_step("last", last_words)}
    worker = yard.worker(a_pipeline(bound("last"), bound("send", "out")), steps=steps)
    assert worker.turn() == 2
    assert sorted(yard.statuses().values()) == ["queued", "transferred"]
    assert yard.catalog.counts().runs[State.READY] == 1
    assert len(yard.visible()) == 1


def test_a_worker_stopped_before_it_began_gives_everything_back(yard: Yard) -> None:
    yard.land({"a.csv": b"bytes", "b.pdf": b"bytes"})
    worker = yard.worker(replace(PIPELINES["plain"], route=Route(key=("*.csv",))))
    worker.stop()
    assert worker.turn() == 2
    assert set(yard.statuses().values()) == {"queued"}
    assert yard.visible() == {}


def test_a_worker_counts_no_crash_where_its_clock_has_leapt(yard: Yard) -> None:
    clock = Clock()
    database = SqliteDatabase(yard.root / "ledger.db", tree="arrivals", clock=clock)
    yard.ledger = database.ledger
    worker = yard.worker(PIPELINES["plain"], clock=clock)
    yard.land({"a": b""})
    yard.ledger.claim("slow", 1, 30)
    clock.forward(3600)
    worker._sweep()
    database.close()
    assert yard.history("a") == ["arrived", "released"]


def test_a_file_that_is_cancelled_while_a_step_runs_is_not_delivered(yard: Yard) -> None:
    def cancel(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        time.sleep(0.3)
        assert yard.ledger.cancel([arrival.file_id], "ann") == [True]
        return Result([Output.unchanged(inputs[0])])

    (arrival,) = yard.land({"a": b"bytes"})
    steps = {**STEPS, "cancel": a_step("cancel", cancel)}
    yard.worker(a_pipeline(bound("cancel"), bound("send", "out")), steps=steps, lease_s=0.2).turn()
    assert yard.visible() == {}
    assert yard.history("a") == ["arrived", "cancelled"]
    assert yard.catalog.events(arrival.file_id)[-1].data["after"] == "leased"


def test_a_paused_pipeline_begins_nothing_and_the_others_go_on(yard: Yard) -> None:
    yard.database.gates.pause("held", "ann")
    held = a_pipeline(bound("send", "out"), name="held", route=Route(key=("a*",)))
    yard.land({"a": b"bytes", "b": b"bytes"})
    worker = yard.worker(held, PIPELINES["plain"])
    drain(worker)
    assert yard.visible() == {"acme/b": b"bytes"}
    assert yard.catalog.counts().held == 1
    yard.database.gates.resume("held", "ann")
    worker._make_rounds()
    drain(worker)
    assert yard.visible() == {"acme/a": b"bytes", "acme/b": b"bytes"}
    assert yard.history("a") == ["arrived", "held", "woken", "transferred"]
