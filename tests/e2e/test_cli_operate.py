"""Stepping in: `pause`, `resume`, `cancel`, `runs`, and `replay` at a rate."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rig.command import Wharf
from rig.serving import Serving, prepare, put, wharf
from rig.waiting import wait_until
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import Failure, Outcome, State, Status, StepRecord

SLOW = """\
data: ./data
min_free: 1048576
listeners: {sftp: null}
workers: {count: 1, lease_s: 1}
customers: {acme: {}}
destinations: {out: {directory: ./out}}
pipelines:
  all:
    steps:
      - {uses: deliver, with: {to: out}}
"""


def status(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = wharf(directory, "status")
    return found


def is_status(directory: Path, **wanted: int) -> Callable[[], bool]:
    return lambda: {name: status(directory)["files"][name] for name in wanted} == wanted


def put_here(wharf: Wharf, *names: str) -> list[str]:
    for name in names:
        wharf.write(name, "a,b\n1,2\n")
    return [row["file_id"] for row in wharf("put", *names, "--customer", "acme", "--json").json]


def all_settled(wharf: Wharf, state: State, status: Status, **more: Any) -> None:
    database = SqliteDatabase(wharf.place / "data" / "ledger.db")
    for run in database.ledger.claim("worker-1", 100, 30.0):
        outcome = Outcome(run.id, run.token, state, status, "tables", "ab" * 32, **more)
        assert database.ledger.settle([outcome]) == [True]
    database.close()


DOWN = Failure("HOST_DOWN", "the host is down", "deliver")
STEPS = (StepRecord("unpack", "decompress@1", 0.012, "ok"), StepRecord("deliver", "deliver@1", 0.5, "transient"))


# -- pause, resume


def test_a_paused_pipeline_holds_its_files_under_a_running_server_and_lets_them_go(tmp_path: Path) -> None:
    prepare(tmp_path, SLOW)
    with Serving(tmp_path):
        wharf(tmp_path, "pause", "all")
        put(tmp_path, {"a.txt": b"a", "b.txt": b"b"})
        wait_until("both are held", lambda: status(tmp_path)["held"] == 2)
        assert (status(tmp_path)["paused"], status(tmp_path)["backlog"]) == (["all"], 0)
        assert [row["held"] for row in wharf(tmp_path, "pause")] == [2]
        assert {row["waits"] for row in wharf(tmp_path, "files", "--held")} == {"the pipeline all is paused"}
        assert wharf(tmp_path, "resume", "all") == {"resumed": ["all"], "woken": 2}
        wait_until("both are transferred", is_status(tmp_path, transferred=2))
    kinds = [event["kind"] for event in wharf(tmp_path, "file", wharf(tmp_path, "files")[0]["file_id"])["events"]]
    assert kinds == ["arrived", "held", "woken", "transferred"]


def test_a_pause_outlives_a_restart_and_another_pipeline_goes_on(tmp_path: Path) -> None:
    config = SLOW.replace(
        "pipelines:\n",
        "pipelines:\n  other:\n    route: {key: '**/*.csv'}\n    steps: [{uses: deliver, with: {to: out}}]\n",
    )
    prepare(tmp_path, config)
    wharf(tmp_path, "pause", "all")
    put(tmp_path, {"a.txt": b"a", "b.csv": b"b"})
    with Serving(tmp_path):
        wait_until("one is transferred", is_status(tmp_path, transferred=1))
        wait_until("one is held", lambda: status(tmp_path)["held"] == 1)


def test_pausing_tells_what_to_do_next_and_who_did_it_when(wharf: Wharf) -> None:
    assert "wharf resume tables" in wharf("pause", "tables").err
    assert "paused already" in wharf("pause", "tables").err
    [row] = wharf("pause", "--json").json
    assert (row["pipeline"], row["held"]) == ("tables", 0)
    assert row["by"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", row["since"])
    assert "paused: tables; to go on: wharf resume tables" in wharf("status").err


def test_a_pipeline_that_is_not_there_or_not_paused_is_refused(wharf: Wharf) -> None:
    assert "did you mean 'tables'" in wharf.refused("pause", "tabels", code="NOT_FOUND", exit=3)
    wharf.refused("resume", "tables", code="NOT_FOUND", exit=3)


def test_a_pipeline_that_has_left_the_configuration_can_be_resumed(wharf: Wharf) -> None:
    wharf("pause", "tables")
    config = wharf.place / "wharf.yaml"
    config.write_text(config.read_text().replace("  tables:", "  lists:"))
    assert wharf("resume", "tables", "--json").json == {"resumed": ["tables"], "woken": 0}


# -- cancel


def test_a_cancelled_file_says_so_and_by_whom(wharf: Wharf) -> None:
    one, two = put_here(wharf, "a.csv", "b.csv")
    said = wharf("cancel", one, "--json")
    assert (said.code, said.json) == (0, {"matched": [one], "cancelled": [one], "ended": [], "children": 0})
    found = wharf("file", one, "--json").json
    assert (found["state"], found["status"], found["waits"]) == (
        "cancelled",
        "failed",
        "cancelled: nothing more happens until it is replayed",
    )
    assert found["events"][-1]["kind"] == "cancelled"
    assert found["events"][-1]["data"]["by"]
    assert "by " in wharf("file", one).out
    assert [row["file_id"] for row in wharf("runs", "--state", "ready", "--json").json] == [two]


def test_cancelling_by_a_filter_shows_the_count_and_asks(wharf: Wharf) -> None:
    put_here(wharf, "a.csv", "b.csv")
    asked = wharf("cancel", "--customer", "acme")
    assert asked.code == 2
    assert "2 files" in asked.err
    assert "add --yes" in asked.err
    assert len(wharf("cancel", "--customer", "acme", "--yes", "--json").json["cancelled"]) == 2
    assert wharf("cancel", "--customer", "acme", "--yes").code == 1


def test_cancelling_takes_a_dead_letter_off_the_list(wharf: Wharf) -> None:
    (file_id,) = put_here(wharf, "a.csv")
    all_settled(wharf, State.DEAD, Status.FAILED, failure=DOWN)
    assert wharf("cancel", "--dead", "--yes").code == 0
    assert wharf("files", "--dead", "--json").json == []
    assert wharf("file", file_id, "--json").json["error_message"] == "HOST_DOWN: the host is down"


def test_what_is_done_cannot_be_cancelled(wharf: Wharf) -> None:
    (file_id,) = put_here(wharf, "a.csv")
    all_settled(wharf, State.DONE, Status.TRANSFERRED)
    said = wharf("cancel", file_id)
    assert said.code == 1
    assert "done or cancelled already" in said.err


# -- runs


def test_runs_tell_state_steps_and_errors(wharf: Wharf) -> None:
    (file_id,) = put_here(wharf, "a.csv")
    all_settled(wharf, State.READY, Status.PROCESSING, failure=DOWN, due=time.time() + 900, steps=STEPS)
    [run] = wharf("runs", "--json").json
    assert (run["file_id"], run["state"], run["attempts"], run["pipeline"]) == (file_id, "ready", 1, "tables")
    assert [(step["name"], step["outcome"]) for step in run["steps"]] == [("unpack", "ok"), ("deliver", "transient")]
    [line] = wharf("runs").rows
    assert line["steps"] == "unpack 12 ms > deliver 500 ms: transient"
    assert "HOST_DOWN" in line["error_message"]
    shown = wharf.at_terminal("runs", width=240).out
    assert "unpack 12 ms > deliver 500 ms: transient" in shown
    assert "HOST_DOWN" in shown


def test_runs_are_found_by_state_pipeline_and_error(wharf: Wharf) -> None:
    put_here(wharf, "a.csv")
    all_settled(wharf, State.DEAD, Status.FAILED, failure=DOWN, steps=STEPS)
    (waiting,) = put_here(wharf, "b.csv")
    assert [run["state"] for run in wharf("runs", "--state", "dead", "--json").json] == ["dead"]
    assert [run["file_id"] for run in wharf("runs", "--state", "ready", "--json").json] == [waiting]
    assert len(wharf("runs", "--pipeline", "tables", "--error", "HOST_DOWN", "--json").json) == 1
    assert wharf("runs", "--state", "leased", "--json").json == []


def test_steps_of_before_a_replay_are_not_told(wharf: Wharf) -> None:
    (file_id,) = put_here(wharf, "a.csv")
    all_settled(wharf, State.DEAD, Status.FAILED, failure=DOWN, steps=STEPS)
    wharf("replay", file_id)
    assert [run["steps"] for run in wharf("runs", "--json").json] == [[]]


# -- replay


def test_replay_by_revision_finds_what_that_revision_took(wharf: Wharf) -> None:
    (file_id,) = put_here(wharf, "a.csv")
    all_settled(wharf, State.DEAD, Status.FAILED, failure=DOWN)
    put_here(wharf, "b.csv")
    assert wharf("replay", "--revision", "cd", "--yes", "--json").json["matched"] == []
    assert wharf("replay", "--revision", "abab", "--yes", "--json").json["replayed"] == [file_id]
    assert wharf("file", file_id, "--json").json["events"][-1]["data"]["by"]


def test_replay_is_no_faster_than_its_rate(wharf: Wharf) -> None:
    put_here(wharf, *(f"{n}.csv" for n in range(6)))
    all_settled(wharf, State.DEAD, Status.FAILED, failure=DOWN)
    began = time.monotonic()
    said = wharf("replay", "--dead", "--yes", "--rate", "5/s", "--json")
    assert time.monotonic() - began > 1.0
    assert len(said.json["replayed"]) == 6
    assert "6 files" in said.err
    assert "at this rate that takes 1.2 s" in said.err


def test_a_replay_that_is_stopped_leaves_the_rest(wharf: Wharf) -> None:
    put_here(wharf, "a.csv", "b.csv", "c.csv")
    all_settled(wharf, State.DEAD, Status.FAILED, failure=DOWN)
    process = wharf.start("replay", "--dead", "--yes", "--rate", "1/min", "--json")
    wait_until("the first is in line", lambda: len(wharf("files", "--dead", "--json").json) == 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "2 files left as they were" in err


@pytest.mark.parametrize("rate", ["0", "fast", "5/day"])
def test_a_rate_that_is_none_is_refused(wharf: Wharf, rate: str) -> None:
    assert wharf("replay", "--dead", "--rate", rate).code == 2


# -- doctor


def findings(wharf: Wharf, **env: str) -> dict[str, dict[str, str]]:
    return {found["part"]: found for found in wharf("doctor", "--json", env=env).json["findings"]}


def test_doctor_tells_what_is_paused_and_by_whom(wharf: Wharf) -> None:
    assert "paused" not in findings(wharf)
    wharf("pause", "tables")
    found = findings(wharf)["paused"]
    assert (found["verdict"], found["fix"]) == ("warn", "wharf resume tables")
    assert "0 files held" in found["text"]


def test_doctor_tells_who_answers_for_the_metrics(wharf: Wharf) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        threading.Thread(target=lambda: other.accept()[0].close(), daemon=True).start()
        assert findings(wharf, WHARF_METRICS__PORT=port)["metrics"]["verdict"] == "fail"
    assert "is not running" in findings(wharf, WHARF_METRICS__PORT=port)["metrics"]["text"]
    assert "metrics" not in findings(wharf)


def test_doctor_knows_its_own_metrics(tmp_path: Path) -> None:
    prepare(tmp_path, SLOW + "metrics: {port: 0}\n")
    with Serving(tmp_path) as serving:
        port = serving.ready["metrics"].rpartition(":")[2].partition("/")[0]
        found = findings(Wharf(tmp_path), WHARF_METRICS__PORT=port)
    assert found["metrics"]["verdict"] == "ok"
    assert "wharf answers Prometheus" in found["metrics"]["text"]
