"""Looking at files: `put`, `status`, `files`, `file`, `replay`, `route`."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from rig.command import Wharf
from wharfinger.ledger import Database, Entry
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import Delivered, Failure, Outcome, Run, State, Status, StepRecord

TABLE = "a,b\n1,2\n"


@contextmanager
def ledger(wharf: Wharf) -> Iterator[Database]:
    database = SqliteDatabase(wharf.place / "data" / "ledger.db", tree="inbox")
    try:
        yield database
    finally:
        database.close()


def put(wharf: Wharf, *names: str, customer: str = "acme") -> list[str]:
    """Files in custody; the answer is their ids."""
    for name in names:
        wharf.write(name, TABLE)
    return [row["file_id"] for row in wharf("put", *names, "--customer", customer, "--json").json]


def settled(database: Database, run: Run, state: State, status: Status, **more: object) -> None:
    outcome = Outcome(run.id, run.token, state, status, pipeline="tables", revision="ab" * 32, **more)  # type: ignore[arg-type]
    assert database.ledger.settle([outcome]) == [True]


def all_settled(wharf: Wharf, state: State, status: Status, **more: object) -> None:
    with ledger(wharf) as database:
        for run in database.ledger.claim("worker-1", 100, 30.0):
            settled(database, run, state, status, **more)


DOWN = Failure("HOST_DOWN", "the host is down", "deliver")
BOMB = Failure("BOMB", "it is a bomb", "decompress")


def test_put_takes_files_with_odd_names_whole(wharf: Wharf) -> None:
    put(wharf, "a b.csv", "ü#1.csv", "empty.csv")
    wharf.write("empty.csv", "")
    assert wharf("put", "empty.csv", "--customer", "acme").code == 0
    rows = wharf("files", "--json").json
    assert {row["key"] for row in rows} == {f"acme/inbound/{name}" for name in ("a b.csv", "ü#1.csv", "empty.csv")}
    assert rows[0]["media_type"] == "application/x-empty"
    assert {row["source"] for row in rows} == {"cli"}


def test_put_keeps_the_files_time_and_content(wharf: Wharf) -> None:
    (file_id,) = put(wharf, "a.csv")
    assert wharf("store", "cat", file_id).out == TABLE
    (arrived, *_) = wharf("file", file_id, "--json").json["events"]
    assert arrived["data"]["mtime"] == pytest.approx((wharf.place / "a.csv").stat().st_mtime, abs=1e-3)


def test_put_of_some_ends_with_5_and_says_which_were_left(wharf: Wharf) -> None:
    wharf.write("a.csv", TABLE)
    said = wharf("put", "a.csv", "gone.csv", "--customer", "acme", "--json")
    assert said.code == 5
    assert [(row["file"], bool(row["file_id"])) for row in said.json] == [("a.csv", True), ("gone.csv", False)]
    assert "error: NOT_FOUND: gone.csv" in said.err


def test_put_never_makes_a_name_both_a_file_and_a_folder(wharf: Wharf) -> None:
    wharf.write("a.csv", "a,b\n1,2\n")
    wharf("put", "a.csv", "--customer", "acme")
    (row,) = wharf("put", "a.csv", "--customer", "acme", "--to", "inbound", "--json").json
    assert row["key"] == "acme/inbound/a.csv"
    words = ("put", "a.csv", "--customer", "acme", "--to", "inbound/a.csv/deep.csv")
    assert "is a file" in wharf.refused(*words, code="NAME_TAKEN", exit=1)


def test_put_never_hides_a_file_below_the_receipts(wharf: Wharf) -> None:
    wharf.write("a.csv", TABLE)
    words = ("put", "a.csv", "--customer", "acme", "--to", "receipts/")
    assert "the server makes" in wharf.refused(*words, code="NAME_RESERVED", exit=4)


def test_put_of_a_large_file_shows_a_bar_at_a_terminal_only(wharf: Wharf) -> None:
    wharf.write("big.bin", bytes(30_000_000))
    assert "30.0 MB" in wharf.at_terminal("put", "big.bin", "--customer", "acme").out
    assert "of 30.0 MB" not in wharf("put", "big.bin", "--customer", "acme").err


def test_put_a_hundred_and_more_files(wharf: Wharf) -> None:
    assert len(set(put(wharf, *(f"{n}.csv" for n in range(205))))) == 205


REFUSES_LATER_ONES = """
CREATE TRIGGER refuse BEFORE INSERT ON file WHEN new.key GLOB '*/later-*' BEGIN SELECT raise(ABORT, 'refused'); END
"""


def test_put_tells_what_landed_where_the_ledger_refuses_the_rest(wharf: Wharf) -> None:
    wharf("files")
    with closing(sqlite3.connect(wharf.place / "data" / "ledger.db")) as db:
        db.execute(REFUSES_LATER_ONES)
    names = [*(f"{n}.csv" for n in range(100)), "later-1.csv", "later-2.csv"]
    for name in names:
        wharf.write(name, TABLE)
    said = wharf("put", *names, "--customer", "acme", "--json")
    assert said.code == 5
    taken = {row["file"] for row in said.json if row["file_id"]}
    assert taken == {record["key"].rpartition("/")[2] for record in wharf("files", "--json").json} == {*names[:100]}
    assert said.err.count("error: LEDGER_FAILED:") == 1
    assert "later-1.csv\n" in said.err
    assert "later-2.csv\n" in said.err


def test_status_of_nothing_says_what_to_do(wharf: Wharf) -> None:
    said = wharf("status")
    assert said.code == 0
    assert "wharf put FILE" in said.err


def test_status_counts_and_names_the_oldest_that_waits(wharf: Wharf) -> None:
    put(wharf, "old.csv")
    put(wharf, "new.csv")
    told = wharf("status", "--json").json
    assert told["files"]["uploaded"] == 2
    assert told["backlog"] == 2
    assert told["oldest_waiting"]["key"] == "acme/inbound/old.csv"
    assert told["oldest_waiting"]["waits"] == "in line for a free worker"
    assert told["takes_uploads"] is True


def test_status_points_to_dead_letters_and_to_the_unrouted(wharf: Wharf) -> None:
    put(wharf, "a.csv")
    all_settled(wharf, State.DEAD, Status.FAILED, failure=DOWN)
    put(wharf, "b.csv")
    all_settled(wharf, State.WAITING, Status.UPLOADED)
    said = wharf("status")
    assert "wharf replay --dead --status failed" in said.err
    assert "wharf files --unrouted" in said.err
    told = wharf("status", "--json").json
    assert (told["dead"], told["unrouted"], told["oldest_waiting"]) == (1, 1, None)


def test_files_are_filtered_by_everything_that_is_known_of_them(wharf: Wharf) -> None:
    put(wharf, "a.csv")
    all_settled(wharf, State.DEAD, Status.QUARANTINED, failure=BOMB)
    put(wharf, "b.csv", customer="globex")
    all_settled(wharf, State.WAITING, Status.UPLOADED)
    put(wharf, "c.csv")

    def keys(*words: str) -> list[str]:
        return [row["key"].rpartition("/")[2] for row in wharf("files", "--json", *words).json]

    assert keys() == ["c.csv", "b.csv", "a.csv"]
    assert keys("--customer", "globex") == ["b.csv"]
    assert keys("--status", "quarantined") == ["a.csv"]
    assert keys("--dead") == ["a.csv"]
    assert keys("--unrouted") == ["b.csv"]
    assert keys("--error", "bomb") == ["a.csv"]
    assert keys("--name", "*/c.*") == ["c.csv"]
    assert keys("--pipeline", "tables") == ["b.csv", "a.csv"]
    assert keys("--since", "1h") == ["c.csv", "b.csv", "a.csv"]
    assert keys("--until", "1h") == []
    assert keys("--dead", "--customer", "globex") == []


def test_files_come_in_pages_that_join_without_gap(wharf: Wharf) -> None:
    ids = put(wharf, *(f"{n}.csv" for n in range(7)))
    first = wharf("files", "--limit", "3", "--json")
    assert f"--after {first.json[-1]['file_id']}" in first.err
    second = wharf("files", "--limit", "4", "--after", first.json[-1]["file_id"], "--json")
    assert "there are more" not in second.err
    assert sorted(row["file_id"] for row in first.json + second.json) == sorted(ids)
    assert len(wharf("files", "--limit", "1", "--all", "--json").json) == 7


def test_a_partial_upload_is_listed_without_an_id(wharf: Wharf) -> None:
    with ledger(wharf) as database:
        database.namespace.make(
            [Entry("acme/inbound/half.csv", "partial", size=5, mtime=time.time() - 1, staged="s", user="bob")]
        )
    put(wharf, "a.csv")
    for words in (
        ("files",),
        ("files", "--status", "partial"),
        ("files", "--status", "partial", "--customer", "acme"),
        ("files", "--name", "*half*", "--customer", "acme", "--since", "1h"),
    ):
        row = wharf(*words, "--json").json[0]
        assert (row["key"], row["status"], row["file_id"]) == ("acme/inbound/half.csv", "partial", None)
    for words in (("--status", "partial", "--customer", "globex"), ("--name", "*whole*"), ("--until", "1h")):
        assert wharf("files", *words, "--json").json == []
    assert wharf("status", "--json").json["partial"] == 1


def test_every_stuck_file_says_why_it_waits_and_until_when(wharf: Wharf) -> None:
    (retried,) = put(wharf, "retried.csv")
    all_settled(wharf, State.READY, Status.PROCESSING, failure=DOWN, due=time.time() + 600)
    (unrouted,) = put(wharf, "unrouted.csv")
    all_settled(wharf, State.WAITING, Status.UPLOADED)
    (dead,) = put(wharf, "dead.csv")
    all_settled(wharf, State.DEAD, Status.FAILED, failure=DOWN)
    (leased,) = put(wharf, "leased.csv")
    with ledger(wharf) as database:
        database.ledger.claim("worker-1", 1, 30.0)
    (queued,) = put(wharf, "queued.csv")

    def told(file_id: str) -> tuple[str, bool, str]:
        row = wharf("file", file_id, "--json").json
        return row["waits"], row["until"] is not None, wharf("file", file_id).err.strip()

    assert told(retried)[:2] == ("failed before; try 2 of 3 comes at", True)
    assert told(unrouted) == ("no pipeline takes it", False, f"next: wharf route explain {unrouted}")
    assert told(dead)[2] == f"next: wharf replay {dead}"
    assert told(leased)[:2] == ("worker-1 is at it; should it die, another takes over at", True)
    assert told(queued)[0] == "in line for a free worker"
    assert "HOST_DOWN: the host is down" in wharf("files", "--name", "*retried*").out
    assert re.search(r"try 2 of 3 comes at\s+\d", wharf.at_terminal("files", "--name", "*retried*", width=200).out)


def test_a_file_tells_its_record_its_history_and_its_deliveries(wharf: Wharf) -> None:
    (file_id,) = put(wharf, "a.csv")
    steps = (StepRecord("deliver", "deliver@1", 0.25, "ok"),)
    effect = Delivered("out", str(wharf.place / "out"), "acme/inbound/a.csv", "v", 8, "00" * 32, time.time())
    all_settled(wharf, State.DONE, Status.TRANSFERRED, steps=steps, delivered=(effect,))
    told = wharf("file", file_id, "--json").json
    assert told["status"] == "transferred"
    assert told["transfer_timestamp"].endswith("Z")
    assert [event["kind"] for event in told["events"]] == ["arrived", "transferred"]
    assert told["deliveries"][0]["key"] == "acme/inbound/a.csv"
    assert told["chain"] == {"verified": True, "problems": []}
    text = wharf("file", file_id[:16]).out
    assert re.search(r"^\tdeliver|  deliver\tdeliver@1$|250 ms", text, re.MULTILINE)
    assert "delivered\tout: " in text
    assert f"\nsize\t8\ntype\t{told['media_type']}\n" in text
    assert text.count(told["upload_timestamp"]) == 2  # in UTC, in the record and in its history


def test_a_file_is_found_by_the_first_12_characters_of_its_id_in_capitals_or_not(wharf: Wharf) -> None:
    (file_id,) = put(wharf, "a.csv")
    assert wharf("file", file_id[:12].lower(), "--json").json["file_id"] == file_id
    said = wharf.refused("file", file_id[:6], code="NOT_FOUND", exit=3)
    assert "give at least 12 characters" in said


def test_a_history_that_was_edited_is_told(wharf: Wharf) -> None:
    import apsw

    (file_id,) = put(wharf, "a.csv")
    all_settled(wharf, State.DEAD, Status.FAILED, failure=DOWN)
    db = apsw.Connection(str(wharf.place / "data" / "ledger.db"))
    db.execute("UPDATE event SET data = replace(data, 'host', 'moon') WHERE n = 2")
    db.close()
    said = wharf("file", file_id)
    assert "was changed" in said.err
    assert wharf("file", file_id, "--json").json["chain"]["verified"] is False


def test_replay_runs_dead_letters_again_after_showing_how_many(wharf: Wharf) -> None:
    put(wharf, "a.csv", "b.csv")
    all_settled(wharf, State.DEAD, Status.FAILED, failure=DOWN)
    (kept,) = put(wharf, "c.csv")
    looked = wharf("replay", "--dead", "--dry-run")
    assert "2 files, 16 B: 2 failed" in looked.err
    assert {row["key"] for row in looked.rows} == {"acme/inbound/a.csv", "acme/inbound/b.csv"}
    wharf.refused("replay", "--dead", code="USAGE", exit=2)
    assert wharf.at_terminal("replay", "--dead", answers=["n"]).code == 0
    assert len(wharf("files", "--dead", "--json").json) == 2
    told = wharf("replay", "--dead", "--yes", "--json").json
    assert (len(told["replayed"]), told["busy"]) == (2, [])
    assert kept not in told["replayed"]
    assert wharf("files", "--dead", "--json").json == []


def test_replay_takes_ids_errors_and_the_unrouted(wharf: Wharf) -> None:
    (a,) = put(wharf, "a.csv")
    all_settled(wharf, State.DEAD, Status.QUARANTINED, failure=BOMB)
    (b,) = put(wharf, "b.csv")
    all_settled(wharf, State.WAITING, Status.UPLOADED)
    assert wharf("replay", "--error", "bomb", "--yes", "--json").json["replayed"] == [a]
    assert wharf("replay", "--unrouted", "--yes", "--json").json["replayed"] == [b]
    assert wharf("replay", a, b[:14], "--json").json["replayed"] == [a, b]


def test_for_bad_bytes_the_advice_is_to_tell_the_sender(wharf: Wharf) -> None:
    (file_id,) = put(wharf, "a.csv")
    all_settled(wharf, State.DEAD, Status.QUARANTINED, failure=BOMB)
    told = wharf("file", file_id).err + wharf("status").err
    assert told.count("tell its sender") + told.count("tell the senders") == 2
    assert "replay" not in told


def test_replay_leaves_what_a_worker_holds(wharf: Wharf) -> None:
    (a, b) = put(wharf, "a.csv", "b.csv")
    with ledger(wharf) as database:
        (run,) = database.ledger.claim("worker-1", 1, 30.0)
    said = wharf("replay", a, b, "--json")
    assert said.code == 5
    assert said.json["busy"] == [run.id]


def test_replay_of_nothing_is_no_error(wharf: Wharf) -> None:
    said = wharf("replay", "--dead")
    assert (said.code, said.err) == (0, "no file fits\n")


def verdicts(wharf: Wharf, *words: str) -> dict[str, bool]:
    return {row["pipeline"]: row["fits"] for row in wharf("route", "explain", *words, "--json").json["pipelines"]}


def test_route_explain_of_a_key_a_local_file_and_a_known_file(wharf: Wharf) -> None:
    wharf.write("t.csv", TABLE)
    assert verdicts(wharf, "inbound/x/t.csv", "--customer", "acme", "--type", "text/csv") == {
        "tables": True,
        "globex-only": False,
    }
    assert verdicts(wharf, "t.csv", "--customer", "globex") == {"tables": True, "globex-only": True}
    (file_id,) = put(wharf, "u.csv")
    assert wharf("route", "explain", file_id, "--json").json["pipeline"] == "tables"


def test_route_explain_says_which_pipeline_comes_first(wharf: Wharf) -> None:
    words = ("--customer", "globex", "--type", "text/csv", "--size", "8", "--json")
    said = wharf("route", "explain", "inbound/t.csv", *words)
    assert [row["reason"] for row in said.json["pipelines"]] == ["takes it", "would fit, but tables comes first"]
    assert said.err == ""


def test_route_explain_says_what_it_assumes_of_a_mere_name(wharf: Wharf) -> None:
    said = wharf("route", "explain", "inbound/t.csv", "--customer", "globex")
    assert "assumed: --type application/octet-stream --size 0" in said.err


def test_route_explain_says_why_not_and_ends_with_1_where_nothing_fits(wharf: Wharf) -> None:
    said = wharf("route", "explain", "inbound/x.pdf", "--customer", "acme")
    assert said.code == 1
    assert "does not fit inbound/**/*.csv" in said.out
    assert "unrouted" in said.err
