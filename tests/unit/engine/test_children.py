"""What a pipeline calls runs by itself, and comes back to it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rig import postgres
from rig.archives import zipped
from rig.databases import DATABASES
from rig.draining import drain
from rig.losing import lose_answer
from rig.memory import Peak
from rig.yard import CALLED, PIPELINES, SOON, STEPS, Yard, a_pipeline, a_step, bound, call, called
from wharfinger.config.settings import BoundBranch
from wharfinger.errors import StoreError, Transient, WharfingerError
from wharfinger.ingest.rebuild import rebuild
from wharfinger.ledger import MANY
from wharfinger.ledger.receipt import receipts
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import ChildRecord, State, Status
from wharfinger.steps import Output, Reader, Result, Scratch
from wharfinger.store import Put, noted_delivery

OUT = bound("send", "out")


@pytest.fixture(params=DATABASES)
def yard(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Yard]:
    """On each backend: how a family fares is the ledger's affair as much as the worker's."""
    if request.param == "postgres":
        monkeypatch.setenv("WHARF_LEDGER", postgres.schema(tmp_path))
    with Yard(tmp_path) as yard:
        yield yard


LAKE = bound("send", "lake")


def children(yard: Yard, name: str) -> list[ChildRecord]:
    return yard.catalog.children(yard.records()[name].file_id, limit=20_000)


def facts(yard: Yard, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yard.catalog.events(yard.records()[name].file_id)[-1].data.get("facts", {})
    return found


# Nested pipelines


def test_a_called_pipeline_runs_by_itself_and_the_caller_goes_on(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    drain(yard.worker(a_pipeline(call("inner"), OUT), called(bound("upper"), LAKE, name="inner")))
    assert yard.lake() == {"acme/a": [b"BYTES"]}
    assert yard.visible() == {"acme/a": b"bytes"}
    [child] = children(yard, "a")
    assert (child.pipeline, child.step, child.status, child.attempts) == ("inner", "inner", Status.TRANSFERRED, 1)
    expected = ["arrived", "spawned", "waiting", "child.transferred", "resumed", "transferred"]
    assert yard.history("a") == expected
    assert facts(yard, "a") == {
        "inner": {"children": 1, "transferred": 1, "failed": 0, "quarantined": 0, "unsuccessful": 0}
    }


def test_what_children_deliver_is_in_the_record_of_the_file_and_in_the_journal(yard: Yard) -> None:
    [arrival] = yard.land({"a": b"bytes"})
    drain(yard.worker(a_pipeline(OUT, call("inner")), called(LAKE, name="inner")))
    delivered = yard.records()["a"].delivered
    assert [each.destination for each in delivered] == ["out", "lake"]
    assert [noted_delivery(note) for note in yard.store.notes()] == [(arrival.file_id, delivered, "", 0)]


def test_what_the_end_of_a_file_does_not_name_it_counts(yard: Yard) -> None:
    [arrival] = yard.land({"all.zip": zipped({f"{n}": b"%d" % n for n in range(MANY + 1)})})
    inner = [called(call("rows", kind="each"), name="unpack"), called(NAMED, name="rows"), called(LAKE, name="copy")]
    drain(yard.worker(a_pipeline(OUT, call("unpack"), call("copy")), *inner, steps=STEPS_))
    record, events = yard.records()["all.zip"], yard.catalog.events(arrival.file_id)
    assert (len(record.delivered), record.delivered_in_all, record.delivered[0].destination) == (MANY, MANY + 3, "out")
    assert [(len(noted[1]), noted[3]) for note in yard.store.notes() if (noted := noted_delivery(note))] == [(MANY, 3)]
    outcome = receipts(record, events).outcome
    assert outcome
    assert (len(outcome["deliveries"]), outcome["delivered_in_all"]) == (MANY, MANY + 3)
    named = {each["key"] for event in events for each in event.data.get("delivered", ())}
    assert len(named) == MANY + 2  # the archive itself, twice; each member


def test_a_file_names_all_that_it_delivered_itself(yard: Yard) -> None:
    yard.land({"a": b"bytes"})

    def spread(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        for n in range(MANY + 1):
            scratch.destinations["out"].copy(inputs[0], f"acme/{n}")
        return Result([Output.unchanged(source) for source in inputs])

    steps = {**STEPS, "spread": a_step("spread", spread, destinations=lambda told: (told.word,))}
    drain(yard.worker(a_pipeline(bound("spread", "out"), call("copy")), called(LAKE, name="copy"), steps=steps))
    record = yard.records()["a"]
    assert (len(record.delivered), record.delivered_in_all) == (MANY + 1, MANY + 2)


def test_what_is_not_in_the_store_is_put_there_for_the_children_and_removed_in_the_end(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    drain(yard.worker(a_pipeline(bound("upper"), call("inner"), OUT), called(LAKE, name="inner")))
    assert (yard.lake(), yard.visible()) == ({"acme/a": [b"BYTES"]}, {"acme/a": b"BYTES"})
    assert list(yard.store.list("checkpoints")) == []


def test_pipelines_call_each_other_three_deep(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    inner = [called(call("two"), OUT, name="one"), called(call("three"), name="two"), called(LAKE, name="three")]
    drain(yard.worker(a_pipeline(call("one")), *inner))
    assert yard.statuses() == {"a": "transferred"}
    assert (yard.lake(), yard.visible()) == ({"acme/a": [b"bytes"]}, {"acme/a": b"bytes"})
    [one] = children(yard, "a")
    [two] = yard.catalog.children(one.id)
    [three] = yard.catalog.children(two.id)
    assert [child.pipeline for child in (one, two, three)] == ["one", "two", "three"]
    assert {each.destination for each in yard.records()["a"].delivered} == {"out", "lake"}


def test_a_call_may_be_the_last_step(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    drain(yard.worker(a_pipeline(call("inner")), called(OUT, name="inner")))
    assert yard.statuses() == {"a": "transferred"}


def test_a_call_is_passed_by_where_its_condition_does_not_hold(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    drain(yard.worker(a_pipeline(call("inner", when=lambda _: False), OUT), called(LAKE, name="inner")))
    assert (yard.lake(), set(yard.visible()), children(yard, "a")) == ({}, {"acme/a"}, [])


def test_a_pipeline_that_others_call_takes_no_file_by_itself(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    drain(yard.worker(called(OUT, name="inner")))
    assert yard.records()["a"].state == State.WAITING
    assert yard.catalog.counts().unrouted == 1


def test_a_child_whose_pipeline_is_gone_is_dead_and_says_so(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    caller = a_pipeline(call("inner"))
    yard.worker(caller, called(OUT, name="inner")).turn()
    drain(yard.worker(OTHER))
    [child] = children(yard, "a")
    assert (child.state, child.status) == (State.DEAD, Status.FAILED)
    assert child.error_message.startswith("NO_PIPELINE: the pipeline 'inner'")
    assert yard.statuses() == {"a": "transferred"}  # by the pipeline of now


OTHER = a_pipeline(OUT, name="other")


# Branches


def test_parallel_pipelines_each_get_what_the_caller_has(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    inner = [called(OUT, name="one"), called(bound("upper"), LAKE, name="two")]
    drain(yard.worker(a_pipeline(call("one", "two", kind="parallel")), *inner))
    assert (yard.lake(), yard.visible()) == ({"acme/a": [b"BYTES"]}, {"acme/a": b"bytes"})
    assert facts(yard, "a")["one"]["children"] == 2


def holds(word: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda sight: word in sight["file"]["name"]


def test_the_first_branch_that_holds_is_chosen(yard: Yard) -> None:
    branches = (BoundBranch("one", holds("x")), BoundBranch("two", holds("y")), BoundBranch("three"))
    choice = replace(call("one", kind="choose"), branches=branches)
    names = ("one", "two", "three")
    yard.land({"x": b"", "y": b"", "xy": b"", "z": b""})
    drain(yard.worker(a_pipeline(choice), *(called(OUT, name=name) for name in names)))
    taken = {name: [child.pipeline for child in children(yard, name)] for name in ("x", "y", "xy", "z")}
    assert taken == {"x": ["one"], "y": ["two"], "xy": ["one"], "z": ["three"]}


def test_where_no_branch_holds_the_file_goes_on_and_the_facts_say_so(yard: Yard) -> None:
    choice = replace(call("one", kind="choose"), branches=(BoundBranch("one", holds("x")),))
    yard.land({"y": b"bytes"})
    drain(yard.worker(a_pipeline(choice, OUT), called(LAKE, name="one")))
    assert (yard.lake(), set(yard.visible())) == ({}, {"acme/y"})
    assert facts(yard, "y")["one"]["children"] == 0


# The members of an archive


def test_each_member_of_an_archive_has_a_run_of_its_own(yard: Yard) -> None:
    members = {"a.csv": b"one", "2026/b.csv": b"two", "2026/deep/c.csv": b""}
    yard.land({"in/all.zip": zipped(members)})
    drain(yard.worker(a_pipeline(call("rows", kind="each")), called(NAMED, name="rows"), steps=STEPS_))
    assert yard.visible() == {f"acme/in/{name}": data for name, data in members.items()}
    assert {child.member: child.size for child in children(yard, "in/all.zip")} == {
        name: len(data) for name, data in members.items()
    }
    assert list(yard.store.list("checkpoints")) == []


def _by_member(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
    for source in inputs:
        assert source.name == source.member.rpartition("/")[2]
        scratch.destinations["out"].copy(source, f"acme/in/{source.member}")
    return Result([Output.unchanged(source) for source in inputs])


NAMED = bound("named", "out")
STEPS_ = {**STEPS, "named": a_step("named", _by_member, destinations=lambda told: (told.word,))}


def test_after_its_members_the_archive_goes_on(yard: Yard) -> None:
    data = zipped({"a": b"one"})
    yard.land({"all.zip": data})
    drain(yard.worker(a_pipeline(call("rows", kind="each"), OUT), called(LAKE, name="rows")))
    assert (yard.lake(), yard.visible()) == ({"acme/a": [b"one"]}, {"acme/all.zip": data})


def test_conditions_of_a_members_pipeline_and_of_what_that_calls_see_the_member(yard: Yard) -> None:
    seen = []

    def look(sight: Mapping[str, Any]) -> bool:
        seen.append(sight.get("member"))
        return True

    yard.land({"all.zip": zipped({"2026/a.csv": b"x,y\n"})})
    inner = [called(call("inner"), name="rows"), called(replace(OUT, when=look), name="inner")]
    drain(yard.worker(a_pipeline(call("rows", kind="each")), *inner))
    assert seen == [{"path": "2026/a.csv", "name": "a.csv", "size": 4, "media_type": "text/plain"}]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"no archive", "TYPE_MISMATCH"),
        (zipped({"a": b"1", "b": b"2", "c": b"3"}), "ARCHIVE_EXPANSION_LIMIT"),
        (zipped({"a": b"1" * 500, "../b": b"2"}), "ARCHIVE_UNSAFE_PATH"),
        (zipped({"ok": b"1", "b": b"damage me"}, 0).replace(b"damage me", b"damaged!!"), "INTEGRITY_MISMATCH"),
        (zipped({}), "ARCHIVE_EMPTY"),
    ],
    ids=["not", "many", "unsafe", "damaged", "empty"],
)
def test_an_archive_that_is_not_sound_has_no_child(data: bytes, code: str, yard: Yard) -> None:
    yard.land({"all.zip": data})
    drain(yard.worker(a_pipeline(call("rows", kind="each", members=2)), called(OUT, name="rows")))
    record = yard.records()["all.zip"]
    assert (record.status, record.error_message.partition(":")[0]) == (Status.QUARANTINED, code)
    assert (children(yard, "all.zip"), yard.visible()) == ([], {})


def test_an_archive_of_more_members_than_a_call_takes_is_spawned_in_groups(yard: Yard) -> None:
    members = {f"{n:04}": b"%d" % n for n in range(2 * MANY + 7)}
    yard.land({"all.zip": zipped(members)})
    drain(yard.worker(a_pipeline(call("rows", kind="each")), called(OUT, name="rows")))
    assert yard.visible() == {f"acme/{name}": data for name, data in members.items()}
    assert yard.history("all.zip").count("spawned") == 3


def test_a_store_that_refuses_members_fails_the_call_and_the_next_try_makes_the_rest(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, calls = yard.store.put, []

    def put(puts: Sequence[Put]) -> list[WharfingerError | None]:
        calls.append(len(puts))
        return [StoreError("full")] * len(puts) if len(calls) == 2 else honest(puts)

    yard.land({"all.zip": zipped({str(n): b"%d" % n for n in range(MANY + 5)})})
    monkeypatch.setattr(yard.store, "put", put)
    drain(yard.worker(a_pipeline(call("rows", kind="each")), called(OUT, name="rows")))
    assert yard.statuses() == {"all.zip": "transferred"}
    assert len(yard.visible()) == MANY + 5
    assert "retry" in yard.history("all.zip")
    assert list(yard.store.list("checkpoints")) == []


@pytest.mark.parametrize("is_done", [True, False], ids=["done", "not done"])
@pytest.mark.parametrize("kind", ["each", "pipeline"])
def test_an_answer_that_is_lost_among_the_calls_costs_the_archive_no_try(
    yard: Yard, kind: str, is_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.land({"all.zip": zipped({f"{n}.csv": b"%d" % n for n in range(3)})})
    worker = yard.worker(a_pipeline(call("rows", kind=kind)), called(OUT, name="rows"))
    lost = lose_answer(yard.ledger, "spawn", monkeypatch, is_done=is_done)
    assert worker.turn() == 0
    assert lost == ["spawn"]
    drain(worker)
    assert (yard.statuses(), yard.records()["all.zip"].attempts) == ({"all.zip": "transferred"}, 1)
    assert len(yard.visible()) == (3 if kind == "each" else 1)
    assert not {"retry", "expired"} & {*yard.history("all.zip")}
    assert list(yard.store.list("checkpoints")) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_members_in_bounded_memory(yard: Yard) -> None:
    members = {f"{n // 100}/{n}.csv": b"row %07d row\n" % n * 1024 for n in range(10_000)}  # 16 KiB each
    yard.land({"all.zip": zipped(members)})
    peak = Peak()
    worker = yard.worker(a_pipeline(call("rows", kind="each")), called(NAMED, name="rows"), steps=STEPS_)
    drain(worker, seconds=240)
    grown = peak.grown
    record = yard.records()["all.zip"]
    assert (record.status, len(record.delivered)) == (Status.TRANSFERRED, MANY)
    assert facts(yard, "all.zip")["rows"] == {
        "children": 10_000,
        "transferred": 10_000,
        "failed": 0,
        "quarantined": 0,
        "unsuccessful": 0,
    }
    assert len(yard.visible()) == 10_000
    assert list(yard.store.list("checkpoints")) == []
    assert grown < 100 << 10, f"{grown} KiB"


# Failures


def test_a_child_that_fails_fails_its_parent_after_all_have_ended(yard: Yard) -> None:
    yard.land({"all.zip": zipped({"a": b"transient", "b": b"fine", "c": b"raise"})})
    drain(yard.worker(a_pipeline(call("rows", kind="each"), LAKE), called(bound("obey"), OUT, name="rows")))
    record = yard.records()["all.zip"]
    assert (record.state, record.status, record.attempts) == (State.DEAD, Status.FAILED, 1)
    assert record.error_message.startswith("CHILD_FAILED: 2 of 3 child runs did not succeed: ")
    assert "a: TOLD_SO: the file says so" in record.error_message
    assert (set(yard.visible()), yard.lake()) == ({"acme/b"}, {})
    assert {child.member: (str(child.status), child.attempts) for child in children(yard, "all.zip")} == {
        "a": ("failed", 3),
        "b": ("transferred", 1),
        "c": ("failed", 3),
    }


def test_where_only_bytes_were_at_fault_the_file_is_quarantined(yard: Yard) -> None:
    yard.land({"all.zip": zipped({"a": b"reject", "b": b"fine"})})
    drain(yard.worker(a_pipeline(call("rows", kind="each")), called(bound("obey"), OUT, name="rows")))
    record = yard.records()["all.zip"]
    assert (record.status, record.error_message) == (
        Status.QUARANTINED,
        "CHILD_FAILED: 1 of 2 child runs did not succeed: a: TOLD_SO: the file says so",
    )


def test_a_parent_may_go_on_without_the_children_that_failed(yard: Yard) -> None:
    def some_failed(sight: Mapping[str, Any]) -> bool:
        return bool(sight["steps"]["rows"]["quarantined"] == 1 and sight["steps"]["rows"]["children"] == 2)

    yard.land({"all.zip": zipped({"a": b"reject", "b": b"fine"})})
    pipeline = a_pipeline(call("rows", kind="each", failure="continue"), replace(LAKE, when=some_failed))
    drain(yard.worker(pipeline, called(bound("obey"), OUT, name="rows")))
    assert yard.statuses() == {"all.zip": "transferred"}
    assert (set(yard.visible()), set(yard.lake())) == ({"acme/b"}, {"acme/all.zip"})
    counts = yard.catalog.counts()
    assert (counts.children[State.DEAD], counts.incomplete) == (1, 1)


def test_what_a_file_went_on_without_is_told_until_it_is_replayed(yard: Yard, caplog: pytest.LogCaptureFixture) -> None:
    [arrival] = yard.land({"all.zip": zipped({"a": b"reject", "b": b"fine", "c": b"transient"})})
    pipeline = a_pipeline(call("rows", kind="each", failure="continue"), LAKE)
    worker = yard.worker(pipeline, called(bound("obey"), OUT, name="rows"))
    with caplog.at_level(logging.INFO):
        drain(worker)
    record, events = yard.records()["all.zip"], yard.catalog.events(arrival.file_id)
    said = "of 3 members 1 failed, 1 quarantined: "
    assert record.status == Status.TRANSFERRED
    assert record.error_message.startswith(f"INCOMPLETE: {said}")
    assert {*record.error_message.partition(said)[2].split("; ")} == {"a: TOLD_SO: the file says so", "c: TOLD_SO"}
    [line] = [each for each in caplog.records if each.message == "transferred"]
    assert line.levelno == logging.WARNING
    outcome = receipts(record, events).outcome
    assert outcome is not None
    assert (outcome["status"], outcome["code"]) == ("transferred", "INCOMPLETE")
    assert f"INCOMPLETE: {outcome['reason']}" == record.error_message
    assert yard.catalog.counts().incomplete == 1
    [noted] = map(noted_delivery, yard.store.notes())
    assert noted == (arrival.file_id, record.delivered, record.error_message, 0)
    yard.ledger.replay([arrival.file_id])
    assert (yard.catalog.counts().incomplete, yard.records()["all.zip"].error_message) == (0, "")


def test_what_went_missing_further_down_is_told_of_the_file(yard: Yard) -> None:
    yard.land(
        {"all.zip": zipped({"in.zip": zipped({"a": b"reject", "b": b"fine"}), "out.zip": zipped({"c": b"fine"})})}
    )
    upper = a_pipeline(call("box", kind="each"), LAKE)
    box = called(call("rows", kind="each", failure="continue"), name="box")
    drain(yard.worker(upper, box, called(bound("obey"), OUT, name="rows")))
    record = yard.records()["all.zip"]
    assert (record.status, record.error_message) == (
        Status.TRANSFERRED,
        "INCOMPLETE: 1 of 2 members incomplete: in.zip: INCOMPLETE: 1 of 2 members quarantined: in.zip/a: TOLD_SO: the file says so",
    )
    assert yard.catalog.counts().incomplete == 1
    assert yard.database.purges.order([record.file_id], by="me") == [True]
    assert yard.catalog.counts().incomplete == 0


@pytest.mark.parametrize("failure", ["fail", "continue"])
def test_two_members_that_are_delivered_under_one_name_are_told_and_the_file_goes_no_further(
    yard: Yard, failure: str
) -> None:
    [arrival] = yard.land({"all.zip": zipped({"a/one.csv": b"1", "b/one.csv": b"2", "c/two.csv": b"3"})})
    pipeline = a_pipeline(call("box", kind="each", failure=failure), LAKE)
    drain(yard.worker(pipeline, called(call("rows"), name="box"), called(OUT, name="rows")))
    record = yard.records()["all.zip"]
    assert (record.status, record.attempts) == (Status.QUARANTINED, 1)
    assert record.error_message.startswith("NAME_REPEATED: ")
    assert {*re.findall(r"'[^']*'", record.error_message)} == {"'a/one.csv'", "'b/one.csv'", "'acme/one.csv'"}
    assert yard.lake() == {}
    outcome = receipts(record, yard.catalog.events(arrival.file_id)).outcome
    assert outcome
    assert (outcome["code"], len(outcome["deliveries"])) == ("NAME_REPEATED", 3)


def test_the_same_bytes_under_one_name_are_no_loss(yard: Yard) -> None:
    yard.land({"all.zip": zipped({"a/one.csv": b"1", "b/one.csv": b"1"})})
    drain(yard.worker(a_pipeline(call("rows", kind="each")), called(OUT, name="rows")))
    assert (yard.statuses(), yard.visible()) == ({"all.zip": "transferred"}, {"acme/one.csv": b"1"})


def test_a_child_is_tried_again_by_the_rules_of_its_own_pipeline_and_alone(yard: Yard) -> None:
    ran: list[str] = []

    def flaky(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        ran.append(inputs[0].name)
        if ran.count("a") < 4 and inputs[0].name == "a":
            raise Transient("not yet")
        return Result([Output.unchanged(inputs[0])])

    steps = {**STEPS, "flaky": a_step("flaky", flaky)}
    yard.land({"all.zip": zipped({"a": b"1", "b": b"2"})})
    patient = called(bound("flaky"), OUT, name="rows", retry=replace(SOON, tries=5))
    drain(yard.worker(a_pipeline(call("rows", kind="each")), patient, steps=steps))
    assert (yard.statuses(), ran.count("a"), ran.count("b")) == ({"all.zip": "transferred"}, 4, 1)
    assert yard.records()["all.zip"].attempts == 1


def test_a_step_after_a_call_is_tried_again_without_calling_again(yard: Yard) -> None:
    tries = []

    def flaky(inputs: Sequence[Reader], told: Any, scratch: Scratch) -> Result:
        tries.append(1)
        if len(tries) < 3:
            raise Transient("not yet")
        return Result([Output.unchanged(inputs[0])])

    steps = {**STEPS, "flaky": a_step("flaky", flaky)}
    yard.land({"a": b"bytes"})
    drain(yard.worker(a_pipeline(call("inner"), bound("flaky"), OUT), called(LAKE, name="inner"), steps=steps))
    assert yard.history("a").count("child.transferred") == 1
    assert {each.destination for each in yard.records()["a"].delivered} == {"out", "lake"}
    assert yard.statuses() == {"a": "transferred"}


def test_a_replay_runs_the_children_again_to_the_same_versions(yard: Yard) -> None:
    [arrival] = yard.land({"all.zip": zipped({"a": b"one", "b": b"two"})})
    worker = yard.worker(PIPELINES["family"], *CALLED)
    drain(worker)
    before = yard.lake(), yard.visible(), [replace(each, at=0.0) for each in yard.records()["all.zip"].delivered]
    assert yard.ledger.replay([arrival.file_id]) == [True]
    drain(worker)
    again = yard.lake(), yard.visible(), [replace(each, at=0.0) for each in yard.records()["all.zip"].delivered]
    assert again == before
    assert yard.statuses() == {"all.zip": "transferred"}
    assert list(yard.store.list("checkpoints")) == []


def test_a_changed_pipeline_calls_anew(yard: Yard) -> None:
    yard.land({"a": b"bytes"})
    yard.worker(a_pipeline(call("inner"), OUT), called(LAKE, name="inner")).turn()
    changed = called(bound("upper"), LAKE, name="inner")
    drain(yard.worker(a_pipeline(call("inner"), bound("upper"), OUT), changed))
    assert yard.statuses() == {"a": "transferred"}
    assert yard.visible() == {"acme/a": b"BYTES"}
    assert list(yard.store.list("checkpoints")) == []


def test_files_that_call_go_together_with_files_that_do_not(yard: Yard) -> None:
    yard.land({f"{n}": b"bytes" for n in range(40)})
    choice = replace(call("inner", kind="choose"), branches=(BoundBranch("inner", holds("1")),))
    drain(yard.worker(a_pipeline(choice, OUT), called(LAKE, name="inner")))
    assert len(yard.visible()) == 40
    assert set(yard.lake()) == {f"acme/{n}" for n in range(40) if "1" in str(n)}


# A ledger that is lost


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 100])
def test_a_file_whose_ledger_is_lost_comes_to_its_end_and_has_each_effect_once(yard: Yard, turns: int) -> None:
    [arrival] = yard.land({"all.zip": zipped({"a": b"one", "b": b"two"})})
    pipelines = PIPELINES["family"], *CALLED
    worker = yard.worker(*pipelines, batch=1)
    for _ in range(turns):
        worker.turn()
    before = {path: path.stat().st_ino for path in yard.out.rglob("*") if path.is_file()}
    rebuilt = SqliteDatabase(yard.root / "rebuilt.db", tree="arrivals")
    yard.ledger = rebuilt.ledger
    assert rebuild(yard.store, rebuilt, "arrivals").delivered == (turns == 100)
    drain(yard.worker(*pipelines))
    assert yard.visible() == {
        "acme/a": b"ONE",
        "acme/b": b"TWO",
        "acme/all.zip": zipped({"a": b"one", "b": b"two"}),
    }
    assert [len(versions) for versions in yard.lake().values()] == [2]  # by the pipeline itself, and by `inner`
    assert before.items() <= {path: path.stat().st_ino for path in yard.out.rglob("*") if path.is_file()}.items()
    assert yard.ledger.knows([arrival.file_id]) == [True]
