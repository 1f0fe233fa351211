"""Pipelines that call pipelines, as a user sees them: the configuration of the how-to, served, and looked at."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rig.archives import zipped
from rig.command import Wharf
from rig.waiting import wait_until

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs/how-to/call-pipelines.md"
[CONFIG] = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def place(wharf: Wharf) -> Wharf:
    (wharf.place / "wharf.yaml").write_text(CONFIG)
    (wharf.place / "outgoing").mkdir(exist_ok=True)
    return wharf


def sent(wharf: Wharf, name: str, data: bytes) -> str:
    (wharf.place / name).write_bytes(data)
    [row] = wharf("put", name, "--customer", "acme", "--json").json
    return str(row["file_id"])


def ended(wharf: Wharf, file_id: str) -> dict[str, object]:
    def final() -> dict[str, object] | None:
        found: dict[str, object] = wharf("file", file_id, "--json").json
        return found if found["status"] in ("transferred", "failed", "quarantined") else None

    worker = wharf.start("worker")
    try:
        answer: dict[str, object] = wait_until("it has ended", final)
    finally:
        worker.terminate()
        worker.communicate(timeout=30)
    return answer


def test_an_archive_is_fanned_out_and_its_tree_is_shown(place: Wharf) -> None:
    members = {"a.csv": b"1,2\n", "2026/b.csv.gz": gzip.compress(b"3,4\n", mtime=0)}
    file_id = sent(place, "all.zip", zipped(members))
    found = ended(place, file_id)
    assert found["status"] == "transferred", found
    children = found["children"]
    assert isinstance(children, list)
    assert sorted((child["pipeline"], child["member"]) for child in children) == sorted(
        [
            *(("statement", name) for name in members),
            ("packed", "2026/b.csv.gz"),
            *(("plain", name) for name in members),
            *((f"plain:{to}", name) for name in members for to in ("lake", "partner")),
        ]
    )
    delivered = {path.name: path.read_bytes() for path in (place.place / "outgoing").rglob("*") if path.is_file()}
    assert delivered == {"a.csv": b"1,2\n", "b.csv": b"3,4\n"}
    for inner in ("plain", "packed"):
        said = place("replay", "--pipeline", inner, "--dry-run", "--json")
        assert said.json["matched"] == [file_id], said
    told = place("file", file_id).out
    assert "9 child runs" in told
    assert "child.transferred" in told


def test_deliveries_that_are_not_named_are_counted(place: Wharf) -> None:
    file_id = sent(place, "all.zip", zipped({f"{n}.csv": b"%d\n" % n for n in range(60)}))
    found = ended(place, file_id)
    assert found["delivered_in_all"] == 121, found
    assert "and 20 more, by child runs" in place("file", file_id).out
    said = place("receipt", file_id)
    assert "the outcome names 101 deliveries of 121" in said.err
    (place.place / "r.json").write_text(said.out)
    assert "delivered_in_all\t121" in place("receipt", "verify", "r.json").out
    (place.place / "verify.py").write_text(place("receipt", "script").out)
    public = place("signing", "list", "--json").json[-1]["public"]
    asked = [sys.executable, "-I", "-S", "verify.py", "r.json", "--key", public]
    told = subprocess.run(asked, cwd=place.place, capture_output=True, text=True)
    assert "121 deliveries, 101 of them named" in told.stdout, told.stdout + told.stderr


def test_route_explain_says_which_pipelines_are_only_called(place: Wharf) -> None:
    said = place("route", "explain", "inbound/x.zip", "--customer", "acme", "--type", "application/zip", "--json").json
    assert said["pipeline"] == "statements"
    reasons = {row["pipeline"]: row["reason"] for row in said["pipelines"]}
    assert reasons["plain"] == "takes only what other pipelines hand it: it has no route"


def test_check_shows_what_is_called(place: Wharf) -> None:
    rows = {row["pipeline"]: row for row in place("check", "--json").json["pipelines"]}
    assert rows["statements"]["steps"] == ["checksum", "statement (each: statement)", "deliver"]
    assert rows["statement"]["route"] == "what other pipelines hand it"
    assert rows["plain"]["steps"] == ["copies (copies: plain:lake, plain:partner)"]


def test_what_an_archive_was_delivered_without_is_seen_wherever_one_looks(place: Wharf) -> None:
    members = {"a.csv": b"1,2\n", "b.csv.gz": gzip.compress(b"3,4\n")[:-9]}
    file_id = sent(place, "all.zip", zipped(members))
    found = ended(place, file_id)
    assert found["status"] == "transferred"
    assert str(found["error_message"]).startswith("INCOMPLETE: 1 of 2 members quarantined: b.csv.gz: ")
    assert not (place.place / "lake").exists()
    [row] = place("files", "--incomplete", "--json").json
    assert row["file_id"] == file_id
    assert [place("files", "--incomplete", *more, "--json").json for more in (["--dead"], ["--status", "failed"])] == [
        [],
        [],
    ]
    status = place("status", "--json").json
    assert (status["incomplete"], status["dead"]) == (1, 0)
    assert "wharf files --incomplete" in place("status").err
    runs = place("runs", "--state", "dead", "--json").json
    assert {(run["pipeline"], run["member"], run["file_id"]) for run in runs} == {
        ("statement", "b.csv.gz", file_id),
        ("packed", "b.csv.gz", file_id),
    }


def test_a_destination_that_is_down_is_seen_where_the_file_waits(place: Wharf) -> None:
    (place.place / "outgoing").rmdir()
    file_id = sent(place, "all.zip", zipped({"a.csv": b"1,2\n"}))

    def retried() -> list[dict[str, object]]:
        rows: list[dict[str, object]] = place("runs", "--error", "DESTINATION_MISSING", "--json").json
        return [row for row in rows if row["until"]]

    worker = place.start("worker")
    try:
        [run] = wait_until("it is to be tried again", retried)
    finally:
        worker.terminate()
        worker.communicate(timeout=30)
    assert (run["pipeline"], run["file_id"], run["state"]) == ("plain:partner", file_id, "ready")
    assert [row["run"] for row in place("runs", "--pipeline", "plain:partner", "--json").json] == [run["run"]]
    [row] = place("files", "--json").json
    assert "plain:partner of a.csv: DESTINATION_MISSING" in row["waits"]
    assert row["until"] is not None
    assert "DESTINATION_MISSING" in place("status").out
    shown = place("file", str(run["run"]))
    assert file_id in shown.out
    assert "is a child run of this file" in shown.err
    refused = place("cancel", str(run["run"]))
    assert f"name the file: {file_id}" in refused.err
    busy = place("replay", file_id)
    assert f"{file_id} waits for 1 child run" in busy.err
    pages = [place("runs", "--limit", "1", "--json").json[0]["run"]]
    while more := place("runs", "--limit", "1", "--after", pages[-1], "--json").json:
        pages.append(more[0]["run"])
    everything = [row["run"] for row in place("runs", "--json").json]
    assert pages == everything
    assert len(everything) == 4
    steps = {row["pipeline"]: row["steps"] for row in place("runs", "--json").json}
    assert [step["name"] for step in steps["statements"]] == ["checksum", "statement"]


def test_pages_of_runs_tell_each_once_and_child_runs_below_their_file(place: Wharf) -> None:
    (place.place / "outgoing").rmdir()
    archives = [f"{n}.zip" for n in range(3)]
    for name in archives:
        place.write(name, zipped({f"{name}.csv": b"1,2\n"}))
    place("put", *archives, "--customer", "acme")
    worker = place.start("worker")
    try:
        wait_until(
            "all are to be tried again",
            lambda: len(place("runs", "--error", "DESTINATION_MISSING", "--json").json) == len(archives),
        )
    finally:
        worker.terminate()
        worker.communicate(timeout=30)
    everything = place("runs", "--json").json
    files = place("files", "--json").json
    assert [row["file_id"] for row in everything] == [row["file_id"] for row in files for _ in range(4)]
    assert [row["parent"] is None for row in everything] == [True, False, False, False] * len(archives)
    for file in files:
        assert f"plain:partner of {file['key'].rpartition('/')[2]}.csv: DESTINATION_MISSING" in file["waits"]
    pages: list[str] = []
    while len(pages) <= len(everything):
        after = ("--after", pages[-1]) if pages else ()
        page = place("runs", "--limit", "1", *after, "--json").json
        if not page:
            break
        pages.append(page[0]["run"])
    assert pages == [row["run"] for row in everything]


def test_two_members_with_one_name_are_not_passed_over_in_silence(place: Wharf) -> None:
    members = {"a/one.csv": b"1,2\n", "a/one.csv.gz": gzip.compress(b"3,4\n", mtime=0)}
    found = ended(place, sent(place, "all.zip", zipped(members)))
    assert found["status"] == "quarantined"
    assert str(found["error_message"]).startswith("NAME_REPEATED: ")
    for name in members:
        assert name in str(found["error_message"])
