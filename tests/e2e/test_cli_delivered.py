"""`reconcile --delivered`: is at the destinations what was delivered there, and how it comes there again."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from pathlib import Path
from typing import Any

from rig.command import Wharf
from rig.serving import Serving, free_port, prepare, put
from rig.serving import wharf as ask
from rig.waiting import wait_until

CONFIG = """\
data: ./data
min_free: 1048576
listeners: {sftp: null}
workers: {count: 1, lease_s: 2}
customers: {acme: {}}
destinations:
  partner: {directory: ./out}
  archive: {directory: ./archive, keeps: true}
  lake: {bucket: lake}
pipelines:
  all:
    steps:
      - {uses: deliver, name: one, with: {to: partner}}
      - {uses: deliver, name: two, with: {to: archive}}
      - {uses: deliver, name: three, with: {to: lake}}
"""

FILES = {f"{n}.txt": b"content %d" % n for n in range(4)}


def delivered(directory: Path, config: str = CONFIG) -> None:
    """All files are at all destinations."""
    (directory / "archive").mkdir()
    prepare(directory, config)
    put(directory, FILES)


def are_transferred(directory: Path) -> bool:
    return bool(ask(directory, "status")["files"]["transferred"] == len(FILES))


def compared(wharf: Wharf, *words: str, code: int = 0) -> dict[str, Any]:
    said = wharf("reconcile", "--delivered", *words, "--json")
    assert said.code == code, said
    return {each["destination"]: each for each in said.json["destinations"]} | {"said": said.json}


def test_what_is_not_as_it_was_is_told_and_delivered_again(tmp_path: Path) -> None:
    port, wharf = free_port(), Wharf(tmp_path)
    delivered(tmp_path, f"{CONFIG}metrics: {{port: {port}}}\n")
    with Serving(tmp_path):
        wait_until("all are transferred", lambda: are_transferred(tmp_path))
        found = compared(wharf)
        assert {name: found[name]["delivered"] for name in ("partner", "archive", "lake")} == dict.fromkeys(
            ("partner", "archive", "lake"), 4
        )
        assert found["said"]["unaccounted"] == 0

        gone, other, taken = (next((tmp_path / top).rglob(name)) for top, name in BROKEN)
        before = {path: path.stat().st_ino for path in (tmp_path / "archive").rglob("*.txt")}
        gone.unlink()
        taken.unlink()
        other.write_bytes(b"tnetnoc 1")
        stranger = tmp_path / "archive" / "stranger.txt"
        stranger.write_bytes(b"?")
        os.utime(stranger, (1e9, 1e9))

        found = compared(wharf, code=5)
        archive = found["archive"]
        kinds = ("missing", "altered", "unexpected", "taken")
        assert [archive[kind] for kind in kinds] == [1, 1, 1, 0]
        assert [found["partner"][kind] for kind in kinds] == [0, 0, 0, 1]
        assert found["lake"]["unaccounted"] == 0
        rows = {row["key"].rpartition("/")[2]: row["file_id"] for row in ask(tmp_path, "files")}
        assert sorted(found["said"]["files"]) == sorted([rows["0.txt"], rows["1.txt"]])
        assert compared(wharf, "archive", "--sizes", code=5)["archive"]["altered"] == 0, "sizes tell nothing of it"
        told = wharf("reconcile", "--delivered", "archive")
        assert f"fix: wharf replay {rows['0.txt']}" in told.err
        assert "3 names unaccounted for; to deliver them again: wharf reconcile --delivered --replay" in told.err
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            figures = answer.read().decode()
        assert 'wharf_unaccounted_deliveries{destination="archive"} 3.0' in figures
        assert 'wharf_unaccounted_deliveries{destination="partner"} 0.0' in figures
        parts = {each["part"]: each for each in wharf("doctor", "--json").json["findings"] if each["verdict"] == "warn"}
        assert parts["destination archive"]["fix"] == "wharf reconcile --delivered archive"

        stranger.unlink()
        said = compared(wharf, "--replay", code=5)["said"]
        assert sorted(said["replayed"]) == sorted(said["files"])
        wait_until("they are transferred again", lambda: are_transferred(tmp_path) and gone.exists())
        assert compared(wharf)["said"]["unaccounted"] == 0
    for name, content in FILES.items():
        [path] = (tmp_path / "archive").rglob(name)
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()
        if name in ("2.txt", "3.txt"):
            assert path.stat().st_ino == before[path], "what was as it should be is untouched"
    assert len(ask(tmp_path, "store", "ls", "--bucket", "lake")) == len(FILES)


BROKEN = (("archive", "0.txt"), ("archive", "1.txt"), ("out", "2.txt"))


def test_a_file_whose_bytes_are_purged_cannot_be_delivered_again(tmp_path: Path) -> None:
    wharf = Wharf(tmp_path)
    delivered(tmp_path)
    with Serving(tmp_path):
        wait_until("all are transferred", lambda: are_transferred(tmp_path))
    wharf("purge", "--customer", "acme", "--yes")
    assert compared(wharf)["said"]["unaccounted"] == 0, "what was delivered stays"
    next((tmp_path / "archive").rglob("0.txt")).unlink()
    said = wharf("reconcile", "--delivered", "--replay")
    assert said.code == 5
    assert "1 file left out: purged" in said.err
    assert "0 files in line again" in said.err


def test_what_somebody_cancelled_is_not_delivered_again(tmp_path: Path) -> None:
    wharf = Wharf(tmp_path)
    delivered(tmp_path)
    with Serving(tmp_path):
        wait_until("all are transferred", lambda: are_transferred(tmp_path))
    path = next((tmp_path / "archive").rglob("0.txt"))
    [file_id] = [row["file_id"] for row in ask(tmp_path, "files") if row["key"].endswith("/0.txt")]
    wharf("replay", file_id)
    wharf("cancel", file_id, "--yes")
    path.write_bytes(b"tnetnoc 0")
    os.utime(path, (1e9, 1e9))
    found = compared(wharf, "--replay", code=5)
    assert (found["archive"]["altered"], found["said"]["files"], found["said"]["replayed"]) == (1, [], [])
    assert "ask who put it there" in wharf("reconcile", "--delivered").err


def test_a_destination_that_is_not_there_is_told(wharf: Wharf) -> None:
    assert "out, kept" in wharf.refused("reconcile", "--delivered", "elsewhere", code="USAGE", exit=2)
    (wharf.place / "out").rmdir()
    said = wharf("reconcile", "--delivered", "--json")
    assert "DESTINATION_MISSING" in said.err
    assert [each["destination"] for each in said.json["destinations"]] == ["kept"], "the others are looked at"
    assert [(each["destination"], each["code"]) for each in said.json["away"]] == [("out", "DESTINATION_MISSING")]
    assert said.code == 1
    wharf.refused("reconcile", "--replay", code="USAGE", exit=2)
