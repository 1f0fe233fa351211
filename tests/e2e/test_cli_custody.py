"""`store`, `ledger rebuild`, `doctor`, `steps`, `schema`."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from rig.command import CONFIG, Wharf
from rig.filesystems import ANOTHER

TABLE = "a,b\n1,2\n"


def put(wharf: Wharf, *names: str) -> list[str]:
    for name in names:
        wharf.write(name, TABLE)
    return [row["file_id"] for row in wharf("put", *names, "--customer", "acme", "--json").json]


def objects(wharf: Wharf) -> list[Path]:
    return [path for path in (wharf.place / "data/store/objects").rglob("*") if path.is_file()]


def test_the_store_lists_and_shows_what_it_has(wharf: Wharf) -> None:
    (file_id,) = put(wharf, "a b.csv")
    (row,) = wharf("store", "ls", "--json").json
    assert row["about"]["file_id"] == file_id
    assert wharf("store", "cat", row["ref"]).out == TABLE
    assert wharf("store", "cat", file_id).out == TABLE
    assert wharf("store", "ls", "globex", "--json").json == []


def test_verify_finds_what_was_changed_and_what_is_missing(wharf: Wharf) -> None:
    put(wharf, "a.csv", "b.csv", "c.csv")
    assert wharf("store", "verify", "--json").json["problems"] == []
    changed, missing, _ = objects(wharf)
    changed.chmod(0o600)
    changed.write_bytes(b"A,B\n1,2\n")
    missing.unlink()
    said = wharf("store", "verify", "--json")
    assert said.code == 1
    assert sorted(problem["kind"] for problem in said.json["problems"]) == ["missing", "sha256"]


def test_what_is_rotten_is_brought_back_from_a_backup_as_verify_says(wharf: Wharf) -> None:
    put(wharf, "a b.csv", "it's.csv")
    assert wharf("backup", "kept").code == 0
    changed, missing = objects(wharf)
    changed.chmod(0o600)
    changed.write_bytes(b"A,B\n1,2\n")
    missing.unlink()
    told = re.findall(r"fix: (cp -pf .*); then", wharf("store", "verify").err)
    assert len(told) == 2
    for command in told:
        subprocess.run(shlex.split(command.replace("BACKUP", "kept")), cwd=wharf.place, check=True)
    assert wharf("store", "verify").code == 0


def test_verify_shows_twenty_problems_and_counts_the_others(wharf: Wharf) -> None:
    put(wharf, *(f"{n}.csv" for n in range(23)))
    *gone, changed = objects(wharf)
    for path in gone:
        path.unlink()
    changed.chmod(0o600)
    changed.write_bytes(b"A,B\n")
    said = wharf("store", "verify")
    assert said.code == 1
    assert said.err.count("error: ") == 20
    assert "\nand 3 more; all of them: wharf store verify --json\n" in said.err
    assert said.err.endswith("compared: 23 problems\n")
    told = wharf("store", "verify", "--json")
    assert told.code == 1
    assert len({problem["ref"] for problem in told.json["problems"]}) == len(told.json["problems"]) == 23
    assert (told.json["objects"], told.json["bytes"], told.json["files"]) == (1, 4, 23)
    assert told.err.count("\n") == 1


def test_verify_tells_of_an_upload_that_a_crash_kept_from_the_ledger(wharf: Wharf) -> None:
    put(wharf, "known.csv")
    wharf.write("lost.csv", TABLE)
    killed = wharf("put", "lost.csv", "--customer", "acme", env={"WHARF_CRASH": "intake.stored"})
    assert killed.code == -signal.SIGKILL
    assert wharf("store", "verify", "--json").json["unrecorded"] == []  # it may be on its way
    for page in (wharf.place / "data/store/journal").rglob("*.ndjson"):
        page.write_text(re.sub(r'"at":[0-9.]+', '"at":1750000000.0', page.read_text()))
    told = wharf("store", "verify", "--json")
    (ref,) = told.json["unrecorded"]
    assert (told.code, told.json["problems"], told.json["files"]) == (0, [], 1)
    said = wharf("store", "verify").err
    assert f"the ledger does not know 1 upload:\n  {ref}\n" in said
    assert "wharf ledger rebuild --missing records them" in said
    before = history(wharf, "known.csv")
    added = wharf("ledger", "rebuild", "--missing", "--json").json
    assert (added["arrivals"], added["known"]) == (1, 1)
    assert wharf("store", "verify", "--json").json["unrecorded"] == []
    assert history(wharf, "known.csv") == before


def history(wharf: Wharf, name: str) -> list[str]:
    """The hashes of what has happened to the file of this name."""
    (row,) = wharf("files", "--name", f"*{name}", "--json").json
    return [event["hash"] for event in wharf("file", row["file_id"], "--json").json["events"]]


def lose_ledger(wharf: Wharf) -> None:
    for path in (wharf.place / "data").glob("ledger.db*"):
        path.unlink()


def test_a_lost_ledger_is_rebuilt_with_the_same_records(wharf: Wharf) -> None:
    put(wharf, "a.csv", "b.csv")
    before = wharf("files", "--json").json
    lose_ledger(wharf)
    assert "Rebuilding" in wharf.at_terminal("ledger", "rebuild").out
    lose_ledger(wharf)
    told = wharf("ledger", "rebuild", "--json").json
    assert (told["arrivals"], told["delivered"]) == (2, 0)
    assert wharf("files", "--json").json == before


def test_a_rebuild_tells_of_cancelled_files_that_they_do_not_run(wharf: Wharf) -> None:
    first, _ = put(wharf, "a.csv", "b.csv")
    wharf("cancel", first)
    lose_ledger(wharf)
    assert "2 files recorded: 0 as transferred, 1 as cancelled, 1 run again" in wharf("ledger", "rebuild").err


def test_a_note_that_cannot_be_read_is_told_and_stops_no_rebuild(wharf: Wharf) -> None:
    put(wharf, "a.csv")
    (page,) = (wharf.place / "data/store/journal").rglob("*.ndjson")
    with page.open("a") as lines:
        lines.write('{"note":{"delivered":[{"to":"the moon"}]},"at":1.5}\n')
    lose_ledger(wharf)
    said = wharf("ledger", "rebuild")
    assert (said.code, "1 note passed over" in said.err) == (0, True)
    assert [row["key"] for row in wharf("files", "--json").json] == ["acme/inbound/a.csv"]


def test_a_lost_ledger_is_noticed_and_nobody_serves_without_it(wharf: Wharf) -> None:
    put(wharf, "a.csv", "b.csv")
    lose_ledger(wharf)
    assert findings(wharf)["ledger"] == "fail"
    assert "the ledger knows none of the oldest files in the store" in wharf("status").err
    assert "wharf ledger rebuild" in wharf.refused("serve", code="LEDGER_LOST", exit=1)
    wharf("ledger", "rebuild")
    assert findings(wharf)["ledger"] == "ok"


def test_a_lost_ledger_is_not_backed_up(wharf: Wharf) -> None:
    put(wharf, "a.csv", "b.csv")
    lose_ledger(wharf)
    assert "wharf restore" in wharf.refused("backup", "backups", code="NO_LEDGER", exit=1)
    assert not (wharf.place / "data" / "ledger.db").exists()
    wharf("status")
    assert "wharf ledger rebuild" in wharf.refused("backup", "backups", code="LEDGER_LOST", exit=1)
    assert wharf("backup", "backups", "--list", "--json").json == []
    wharf("ledger", "rebuild")
    assert wharf("backup", "backups", "--json").json["files"] == 2


def test_a_lost_ledger_is_noticed_also_where_users_and_new_files_came_since(wharf: Wharf) -> None:
    put(wharf, *(f"{n}.csv" for n in range(101)))
    lose_ledger(wharf)
    wharf("users", "add", "bob", "--customer", "acme", "--password", stdin="correct horse battery\n")
    assert "wharf ledger rebuild" in wharf.refused("serve", code="LEDGER_LOST", exit=1)
    put(wharf, "new.csv")
    assert findings(wharf)["ledger"] == "fail"
    assert "wharf ledger rebuild --missing" in wharf("status").err
    assert "wharf ledger rebuild --missing" in wharf.refused("serve", code="LEDGER_LOST", exit=1)
    assert wharf("ledger", "rebuild", "--missing", "--json").json["arrivals"] == 101
    assert findings(wharf)["ledger"] == "ok"


def test_a_ledger_that_has_files_is_moved_aside_only_by_force_and_users_are_kept(wharf: Wharf) -> None:
    put(wharf, "a.csv")
    wharf("users", "add", "bob", "--customer", "acme", "--password", stdin="correct horse battery\n")
    assert "--force" in wharf.refused("ledger", "rebuild", code="LEDGER_EXISTS", exit=2)
    wharf.refused("ledger", "rebuild", "--force", code="USAGE", exit=2)
    wharf.refused("ledger", "rebuild", "--force", "--missing", code="USAGE", exit=2)
    assert wharf("ledger", "rebuild", "--force", "--yes", "--json").json["arrivals"] == 1
    assert [user["user"] for user in wharf("users", "list", "--json").json] == ["bob"]
    assert len(list((wharf.place / "data").glob("ledger.db.*"))) >= 1


def interrupt(wharf: Wharf, *words: str, reading: Path) -> str:
    """Press Ctrl-C while this command reads that file; what it says."""
    content = reading.read_bytes()
    reading.unlink()
    os.mkfifo(reading)
    process = wharf.start(*words)
    with open(reading, "wb"):  # opens when the command reads
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    reading.unlink()
    reading.write_bytes(content)
    assert process.returncode == 130
    return err


def test_an_interrupted_verification_ends_with_a_word(wharf: Wharf) -> None:
    put(wharf, "a.csv")
    assert interrupt(wharf, "store", "verify", reading=objects(wharf)[0]) == "stopped\n"


def test_an_interrupted_rebuild_ends_with_a_word_and_keeps_the_users(wharf: Wharf) -> None:
    put(wharf, "a.csv")
    wharf("users", "add", "bob", "--customer", "acme", "--password", stdin="correct horse battery\n")
    (page,) = (wharf.place / "data/store/journal").rglob("*.ndjson")
    said = interrupt(wharf, "ledger", "rebuild", "--force", "--yes", reading=page).splitlines()
    assert said[1:] == ["stopped"]
    assert wharf("ledger", "rebuild", "--json").json == {
        "arrivals": 1,
        "delivered": 0,
        "cancelled": 0,
        "known": 0,
        "others": 0,
        "purged": 0,
        "stay": 0,
        "unread": 0,
        "users": 1,
    }


def findings(wharf: Wharf) -> dict[str, str]:
    return {finding["part"]: finding["verdict"] for finding in wharf("doctor", "--json").json["findings"]}


def test_doctor_finds_nothing_wrong_with_a_sound_installation(wharf: Wharf) -> None:
    wharf("users", "add", "bob", "--customer", "acme", "--password", stdin="correct horse battery\n")
    said = wharf("doctor")
    assert said.code == 0, said
    assert "all is well\nwharf does not serve here" in said.err
    assert set(findings(wharf).values()) == {"ok"}


def test_doctor_names_each_broken_part_with_what_mends_it(wharf: Wharf) -> None:
    put(wharf, "a.csv")
    objects(wharf)[0].unlink()
    (wharf.place / "out").rmdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wharf.write("wharf.yaml", CONFIG.replace("port: 0", f"port: {taken.getsockname()[1]}"))
        said = wharf("doctor", "--json")
    assert said.code == 1
    broken = {f["part"]: f["fix"] for f in said.json["findings"] if f["verdict"] == "fail"}
    assert set(broken) == {"store", "destination out", "sftp"}
    assert all(broken.values())


def test_doctor_names_a_host_key_that_cannot_be_used(wharf: Wharf) -> None:
    wharf.write("mine", "no key").chmod(0o600)
    wharf.write("wharf.yaml", CONFIG.replace("port: 0", "port: 0, host_keys: ./mine"))
    assert findings(wharf)["host key"] == "fail"


def test_doctor_names_signing_keys_that_others_may_read_or_that_are_damaged(wharf: Wharf) -> None:
    wharf("status")
    assert findings(wharf)["signing keys"] == "ok"
    wharf("signing", "list")
    ring = wharf.place / "data/signing-keys.json"
    assert findings(wharf)["signing keys"] == "ok"
    ring.chmod(0o644)
    assert findings(wharf)["signing keys"] == "fail"
    ring.write_text("{}")
    assert findings(wharf)["signing keys"] == "fail"


@pytest.mark.skipif(ANOTHER is None, reason="needs another filesystem")
def test_the_room_is_that_of_the_stores_disk_and_of_the_datas(wharf: Wharf) -> None:
    with tempfile.TemporaryDirectory(dir=ANOTHER) as there:
        wharf.write("wharf.yaml", CONFIG + f"store: file://{there}/store\n")
        told = wharf("status", "--json").json
        assert [disk["path"] for disk in told["disks"]] == [f"{there}/store", str(wharf.place / "data")]
        assert told["free_bytes"] == told["disks"][0]["free_bytes"]
        lines = [line for line in wharf("status").out.splitlines() if line.startswith("free disk")]
        assert [place in line for line, place in zip(lines, (there, str(wharf.place)), strict=True)] == [True, True]
        room = [f for f in wharf("doctor", "--json").json["findings"] if f["part"] == "disk"]
        assert ["uploads" in finding["text"] for finding in room] == [True, False]


def test_doctor_of_a_broken_configuration_tells_its_mistakes(wharf: Wharf) -> None:
    wharf.write("wharf.yaml", "data: ./data\ncustomres: {}\n")
    said = wharf("doctor", "--json")
    assert said.code == 1
    (finding,) = said.json["findings"]
    assert "wharf.yaml:" in finding["text"]


def test_doctor_warns_of_users_without_a_customer(wharf: Wharf) -> None:
    wharf("users", "add", "bob", "--customer", "globex", "--password", stdin="correct horse battery\n")
    wharf.write("wharf.yaml", CONFIG.replace(", globex: {}", "").replace("customer: globex, ", ""))
    assert findings(wharf)["users"] == "warn"


def test_steps_are_listed_and_shown(empty: Wharf) -> None:
    names = [row["step"] for row in empty("steps", "list", "--json").json]
    assert {"checksum", "compress", "decompress", "deliver", "rename"} <= set(names)
    for name in names:
        told = empty("steps", "show", name, "--json").json
        assert told["help"]
        assert name in empty("steps", "show", name).out


def test_the_schema_is_json_schema_and_needs_no_configuration(empty: Wharf) -> None:
    schema = json.loads(empty("schema").out)
    assert "$schema" in schema
    assert "pipelines" in json.dumps(schema)


def test_the_doctor_names_twenty_lost_objects_and_counts_the_others(wharf: Wharf) -> None:
    put(wharf, *(f"{n}.csv" for n in range(22)))
    for path in objects(wharf):
        path.unlink()
    said = wharf("doctor")
    lost = [row for row in said.rows if (row["part"], row["verdict"]) == ("store", "fail")]
    assert (len(lost), lost[-1]["text"]) == (21, "and 2 more")
    assert all(row["fix"] for row in lost)
    assert said.err == "1 part broken; begin with: store\n"
