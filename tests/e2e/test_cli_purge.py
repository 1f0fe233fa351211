"""`purge`, and `retention` in the configuration: bytes go, and all that is said of a purged file says so."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from rig.command import Wharf
from rig.serving import Serving, free_port, prepare, put, sftp
from rig.serving import wharf as ask
from rig.waiting import wait_until
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import Failure, Outcome, State, Status

TABLE = "a,b\n1,2\n"


def taken(wharf: Wharf, *names: str) -> list[str]:
    for name in names:
        wharf.write(name, TABLE)
    return [row["file_id"] for row in wharf("put", *names, "--customer", "acme", "--json").json]


def settled(wharf: Wharf, state: State = State.DONE, status: Status = Status.TRANSFERRED, **more: Any) -> None:
    database = SqliteDatabase(wharf.place / "data" / "ledger.db")
    for run in database.ledger.claim("worker-1", 100, 30.0):
        outcome = Outcome(run.id, run.token, state, status, "tables", "ab" * 32, **more)
        assert database.ledger.settle([outcome]) == [True]
    database.close()


def configured(wharf: Wharf, **rules: Any) -> None:
    path = wharf.place / "wharf.yaml"
    path.write_text(f"{path.read_text()}retention: {json.dumps(rules)}\n")


# -- by hand


def test_a_purge_says_how_many_and_how_large_and_asks(wharf: Wharf) -> None:
    one, two = taken(wharf, "a.csv", "b.csv")
    settled(wharf)
    said = wharf("purge", "--customer", "acme")
    assert said.code == 2
    assert "2 files, 16 B: 2 transferred" in said.err
    assert "add --yes" in said.err
    assert wharf("purge", one).code == 2, "what cannot be undone asks for a single file, too"
    said = wharf("purge", "--customer", "acme", "--dry-run", "--json")
    assert (said.code, sorted(said.json["matched"]), said.json["purged"]) == (0, sorted([one, two]), [])
    assert len(wharf("store", "ls", "--json").json) == 2
    shown = wharf.at_terminal("purge", one, answers=["y"])
    assert "1 file purged, 8 B removed; records stay" in shown.out


def test_what_cannot_be_removed_is_told_and_the_rest_goes(wharf: Wharf) -> None:
    stuck, free = taken(wharf, "a.csv", "b.csv")
    settled(wharf)
    [path] = (wharf.place / "data/store/objects").rglob(stuck)
    path.unlink()
    (path / "in it").mkdir(parents=True)
    said = wharf("purge", stuck, free, "--yes", "--json")
    assert (said.code, said.json["purged"], said.json["bytes"]) == (5, [free], 8)
    assert [(each["file_id"], bool(each["code"] and each["fix"])) for each in said.json["stays"]] == [(stuck, True)]
    again = wharf("purge")
    assert again.code == 5
    assert f"the bytes of {stuck} stay" in again.err
    assert "once that is mended, wharf purge" in again.err
    (path / "in it").rmdir()
    path.rmdir()
    assert wharf("purge").code == 0
    assert wharf("status", "--json").json["purged"] == 2


def test_a_purged_file_says_so_wherever_it_is_met(wharf: Wharf) -> None:
    (file_id,) = taken(wharf, "a.csv")
    settled(wharf)
    said = wharf("purge", file_id, "--yes", "--json")
    assert (said.code, said.json) == (
        0,
        {"matched": [file_id], "purged": [file_id], "bytes": 8, "unfinished": [], "stays": []},
    )
    found = wharf("file", file_id, "--json").json
    assert found["purge_timestamp"]
    assert (found["events"][-1]["kind"], found["chain"]["verified"]) == ("purged", True)
    assert "its bytes are gone" in wharf("file", file_id).out
    assert wharf("status", "--json").json["purged"] == 1
    assert "purged" in wharf("status").out
    assert wharf("store", "ls", "--json").json == []
    assert wharf("store", "verify").code == 0
    assert "purged" in wharf.refused("store", "cat", file_id, code="PURGED", exit=1)
    assert wharf("audit", "verify").code == 0
    assert wharf("evidence", file_id).code == 0
    assert len(wharf("receipt", file_id).out.splitlines()) == 2


def test_a_purged_file_cannot_be_replayed(wharf: Wharf) -> None:
    one, two = taken(wharf, "a.csv", "b.csv")
    settled(wharf)
    wharf("purge", one, "--yes")
    said = wharf.refused("replay", one, code="PURGED", exit=1)
    assert "upload it again" in said
    both = wharf("replay", one, two, "--json")
    assert (both.code, both.json["replayed"]) == (0, [two])
    assert "1 file left out: purged" in both.err


def test_what_has_not_ended_is_left_as_it_is(wharf: Wharf) -> None:
    (done,) = taken(wharf, "a.csv")
    settled(wharf)
    (waiting,) = taken(wharf, "b.csv")
    said = wharf("purge", "--customer", "acme", "--yes", "--json")
    assert (said.code, said.json["purged"], said.json["unfinished"]) == (5, [done], [waiting])
    assert wharf("purge", waiting, "--yes").code == 1
    assert [listed["about"]["file_id"] for listed in wharf("store", "ls", "--json").json] == [waiting]


def test_a_purge_without_a_choice_is_refused(wharf: Wharf) -> None:
    wharf.refused("purge", code="USAGE", exit=2)
    wharf.refused("purge", "--expired", code="USAGE", exit=2)


def test_a_purged_dead_letter_is_none(wharf: Wharf) -> None:
    (file_id,) = taken(wharf, "a.csv")
    settled(wharf, State.DEAD, Status.QUARANTINED, failure=Failure("MALFORMED", "no table", "sniff"))
    wharf("purge", "--dead", "--yes")
    assert wharf("files", "--dead", "--json").json == []
    found = wharf("file", file_id, "--json").json
    assert (found["status"], found["error_message"]) == ("quarantined", "MALFORMED: no table")


def test_a_rebuilt_ledger_knows_what_was_purged(wharf: Wharf) -> None:
    gone, stays = taken(wharf, "a.csv", "b.csv")
    settled(wharf)
    wharf("purge", gone, "--yes")
    before = {row["file_id"]: row for row in wharf("files", "--json").json}
    said = wharf("ledger", "rebuild", "--force", "--yes", "--json")
    assert (said.json["purged"], said.json["arrivals"]) == (1, 1)
    after = {row["file_id"]: row for row in wharf("files", "--json").json}
    assert set(after) == {gone, stays}
    for name in ("key", "size", "sha256", "customer_id", "upload_timestamp", "purge_timestamp", "status"):
        assert after[gone][name] == before[gone][name]
    assert wharf("ledger", "rebuild", "--missing", "--json").json["purged"] == 0
    assert wharf("audit", "verify").code == 0


def test_a_ledger_from_before_the_purge_learns_of_it(wharf: Wharf) -> None:
    (file_id,) = taken(wharf, "a.csv")
    settled(wharf)
    for path in (wharf.place / "data").glob("ledger.db*"):
        path.rename(path.with_name(f"old-{path.name}"))
    wharf("ledger", "rebuild")
    settled(wharf)
    wharf("purge", file_id, "--yes")
    for path in (wharf.place / "data").glob("old-ledger.db*"):
        path.replace(path.with_name(path.name.removeprefix("old-")))
    assert wharf("store", "verify").code == 1
    assert wharf("ledger", "rebuild", "--missing", "--json").json["purged"] == 1
    assert wharf("store", "verify").code == 0
    assert wharf("file", file_id, "--json").json["purge_timestamp"]


def test_a_backup_and_its_restore_keep_to_a_purge(wharf: Wharf, tmp_path: Path) -> None:
    gone, stays = taken(wharf, "a.csv", "b.csv")
    settled(wharf)
    wharf("purge", gone, "--yes")
    said = wharf("backup", str(tmp_path / "backup"), "--json")
    assert (said.code, said.json["lost"]) == (0, 0)
    (tmp_path / "data").rename(tmp_path / "before")
    assert wharf("restore", str(tmp_path / "backup")).code == 0
    assert wharf("store", "verify").code == 0
    assert [row["file_id"] for row in wharf("files", "--json").json if row["purge_timestamp"]] == [gone]
    assert stays


# -- by the rules


def test_the_rules_can_be_tried_first(wharf: Wharf) -> None:
    old, legal = taken(wharf, "old.csv", "legal.csv")
    settled(wharf)
    configured(wharf, legal={"key": "**/legal*"}, tables={"pipeline": "tables", "transferred_days": 1e-7})
    said = wharf("purge", "--expired", "--dry-run", "--json")
    assert said.json["matched"] == [old]
    assert wharf("purge", "--expired", "--customer", "globex", "--dry-run", "--json").json["matched"] == []
    wharf.refused("purge", legal, "--expired", "--yes", code="USAGE", exit=2)
    wharf.refused("purge", "--status", "partial", "--expired", "--yes", code="USAGE", exit=2)
    assert wharf("purge", "--expired", "--yes", "--json").json["purged"] == [old]
    assert [listed["about"]["file_id"] for listed in wharf("store", "ls", "--json").json] == [legal]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"transferred_days": 0}, "retention.all.transferred_days"),
        ({"transferred_days": "90d"}, "expected a number"),
        ({"transfered_days": 5}, "did you mean 'transferred_days'"),
        ({"key": "inbound/["}, "not closed"),
    ],
)
def test_a_rule_that_is_none_is_told(wharf: Wharf, rule: dict[str, Any], words: str) -> None:
    configured(wharf, all=rule)
    assert words in wharf.refused("check", code="CONFIG_INVALID", exit=1)


CONFIG = """\
data: ./data
min_free: 1048576
listeners: {sftp: {host: 127.0.0.1, port: 0}}
workers: {count: 1, lease_s: 2}
customers: {acme: {}}
destinations: {out: {directory: ./out}}
retention:
  legal: {key: "**/legal*"}
  all: {transferred_days: 0.00002}
pipelines:
  all:
    steps:
      - {uses: deliver, with: {to: out}}
"""


def test_a_running_server_keeps_to_the_rules(tmp_path: Path) -> None:
    port = free_port()
    prepare(tmp_path, f"{CONFIG}metrics: {{port: {port}}}\n")
    with Serving(tmp_path) as serving:
        assert "retention" in serving.children()
        put(tmp_path, {"a.txt": b"12345", "legal.txt": b"123"})
        wait_until("it is purged", lambda: ask(tmp_path, "status")["purged"] == 1)
        rows = {row["key"].rpartition("/")[2]: row for row in ask(tmp_path, "files")}
        assert (rows["legal.txt"]["purge_timestamp"], rows["a.txt"]["status"]) == (None, "transferred")
        listing = sftp(tmp_path, serving.port, ["ls -1 inbound", "ls -1 receipts"]).stdout
        assert "legal.txt" in listing
        assert "a.txt" not in listing
        day = rows["a.txt"]["upload_timestamp"][:10]
        assert "a.txt~" in sftp(tmp_path, serving.port, [f"ls -1 receipts/{day}"]).stdout
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            figures = answer.read().decode()
        assert "wharf_purged_files_total 1.0" in figures
        assert "wharf_purged_bytes_total 5.0" in figures
    assert len([*(tmp_path / "out").rglob("a.txt")]) == 1, "what was delivered stays"


def test_doctor_tells_of_a_purge_that_was_cut_off(wharf: Wharf) -> None:
    (file_id,) = taken(wharf, "a.csv")
    settled(wharf)
    database = SqliteDatabase(wharf.place / "data" / "ledger.db", clock=lambda: 1_750_000_000.0)
    database.purges.order([file_id], by="ann")
    database.close()
    found = {each["part"]: each for each in wharf("doctor", "--json").json["findings"]}
    assert (found["purge"]["verdict"], found["purge"]["fix"]) == ("warn", "wharf purge")
    said = wharf("purge")
    assert said.code == 0
    assert "an earlier purge was cut off" in said.err
    assert "purge" not in {each["part"] for each in wharf("doctor", "--json").json["findings"]}
    assert wharf("store", "ls", "--json").json == []
