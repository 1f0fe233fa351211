"""Backups made while files come in, kill -9 at every point of a backup and of a restore: what was acknowledged before comes back."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rig import postgres
from rig.databases import DATABASES
from rig.serving import CONFIG, Serving, prepare, put, sftp, wharf
from rig.waiting import wait_until
from wharfinger.ledger import Database, chain
from wharfinger.ledger.postgres import PostgresDatabase
from wharfinger.ledger.sqlite import SqliteDatabase

pytestmark = pytest.mark.slow

FILES = {f"f{n}.bin": os.urandom(500 + n) for n in range(30)}

BACKUP = ["backup.ledger", "backup.journal", "backup.objects", "backup.named"]
DAMAGED = {"sqlite": ["ledger.db"], "postgres": ["ledger/manifest.json", "ledger/file.csv.gz", "ledger/event.csv.gz"]}
RESTORE = ["restore.objects", "restore.journal", "restore.ledger"]


def killed(directory: Path, point: str, *words: str) -> None:
    """Run a command that dies at this point."""
    command = [sys.executable, "-m", "wharfinger", "--config", str(directory / "wharf.yaml"), *words]
    done = subprocess.run(command, env={**os.environ, "WHARF_CRASH": point}, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture(scope="module", params=DATABASES)
def delivered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with files, all of them delivered."""
    directory = tmp_path_factory.mktemp("delivered")
    prepare(directory, configuration(request.param))
    put(directory, FILES)
    with Serving(directory):
        wait_until("all are transferred", lambda: transferred(directory) == len(FILES))
    return directory


@pytest.fixture
def yard(delivered: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    here = Path(shutil.copytree(delivered, tmp_path / "here", ignore=shutil.ignore_patterns("*.hint")))
    if url := database_of(delivered):
        change(here, url, postgres.database(like=url))
    return here


def configuration(backend: str) -> str:
    return CONFIG if backend == "sqlite" else f"{CONFIG}ledger: {postgres.database()}\n"


def database_of(directory: Path) -> str:
    """The URL of its ledger; "" where that is a file."""
    found = re.search(r"^ledger: (.+)$", (directory / "wharf.yaml").read_text(), re.MULTILINE)
    return found[1] if found else ""


def change(directory: Path, word: str, other: str) -> None:
    config = directory / "wharf.yaml"
    config.write_text(config.read_text().replace(word, other))


def lose_database(directory: Path) -> None:
    """The server has lost its ledger, and an empty database stands there; a file is lost with its directory."""
    if url := database_of(directory):
        postgres.database(url.rpartition("/")[2])


def ledger_of(directory: Path) -> Database:
    url = database_of(directory)
    return PostgresDatabase(url) if url else SqliteDatabase(directory / "data" / "ledger.db")


def transferred(directory: Path) -> int:
    return int(wharf(directory, "status")["files"]["transferred"])


def elsewhere(directory: Path) -> Path:
    """An empty place with the same configuration, but for a database of its own."""
    there = directory.parent / "there"
    there.mkdir()
    shutil.copy(directory / "wharf.yaml", there / "wharf.yaml")
    if url := database_of(directory):
        change(there, url, postgres.database())
    (there / "out").mkdir()
    return there


def records(directory: Path) -> dict[str, Mapping[str, Any]]:
    return {record["file_id"]: record for record in wharf(directory, "files", "--all")}


def check(directory: Path, known: Mapping[str, Mapping[str, Any]]) -> None:
    """All that was known is known again, byte for byte, and the store has nothing to complain of."""
    found = records(directory)
    assert {id: found[id]["sha256"] for id in known} == {id: record["sha256"] for id, record in known.items()}
    assert wharf(directory, "store", "verify")["problems"] == []
    with closing(ledger_of(directory)) as database:
        for id in found:
            assert chain.verify(database.catalog.events(id)) == []
    command = [sys.executable, "-m", "wharfinger", "--config", str(directory / "wharf.yaml"), "--json", "doctor"]
    said = json.loads(subprocess.run(command, capture_output=True, timeout=60).stdout)
    broken = [f for f in said["findings"] if f["verdict"] == "fail" and f["part"] != "workers"]
    assert broken == []  # nobody works here yet: leases of the copied ledger end


@pytest.mark.parametrize("point", BACKUP)
def test_a_backup_that_is_killed_leaves_the_one_before_and_is_made_whole_by_the_next(point: str, yard: Path) -> None:
    root = yard.parent / "backup"
    before = wharf(yard, "backup", str(root))
    put(yard, {"late.bin": b"late"})
    killed(yard, point, "backup", str(root))
    listed = wharf(yard, "backup", str(root), "--list")
    assert len(listed) == (2 if point == "backup.named" else 1)
    assert listed[0] == before
    after = wharf(yard, "backup", str(root))
    assert (after["files"], after["lost"]) == (len(FILES) + 1, 0)
    assert not (root / "making").exists()
    there = elsewhere(yard)
    wharf(there, "restore", str(root))
    check(there, records(yard))


@pytest.mark.parametrize("point", RESTORE)
def test_a_restore_that_is_killed_goes_on(point: str, yard: Path) -> None:
    root = yard.parent / "backup"
    wharf(yard, "backup", str(root))
    there = elsewhere(yard)
    killed(there, point, "restore", str(root))
    for words in (("serve",), ("worker",), ("users", "list"), ("backup", str(there / "backup"))):
        assert "RESTORE_UNFINISHED" in refused(there, *words)
    found = wharf(there, "restore", str(root))
    assert (found["files"], found["lost"]) == (len(FILES), [])
    assert not (there / "data" / "restoring").exists()
    check(there, records(yard))


@pytest.fixture(params=DATABASES)
def busy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """An installation into which somebody sends file after file, until the test ends."""
    directory = tmp_path / "here"
    directory.mkdir()
    prepare(directory, configuration(request.param))
    (directory / "sent.bin").write_bytes(b"sent again and again")
    over = threading.Event()
    with Serving(directory) as serving:

        def send() -> None:
            lots = 0
            while not over.is_set():
                names = [f"inbound/s{lots}-{n}.bin" for n in range(20)]
                sftp(directory, serving.port, [f"put sent.bin {name}" for name in names])
                lots += 1

        sender = threading.Thread(target=send)
        sender.start()
        wait_until("files come in", lambda: len(records(directory)) > 40)
        yield directory
        over.set()
        sender.join()


def test_what_was_acknowledged_before_a_backup_is_in_it_while_files_come_in(busy: Path) -> None:
    root = busy.parent / "backup"
    before = records(busy)
    for _ in range(3):
        made = wharf(busy, "backup", str(root))
        assert made["lost"] == 0
    assert made["files"] >= len(before)
    there = elsewhere(busy)
    found = wharf(there, "restore", str(root))
    assert found["lost"] == []
    assert found["files"] == len(records(there)) >= made["files"]
    check(there, before)
    with Serving(there):
        wait_until("everything is delivered", lambda: transferred(there) == found["files"])


def test_a_backup_that_is_killed_while_files_come_in_can_be_repeated(busy: Path) -> None:
    root = busy.parent / "backup"
    for point in BACKUP:
        killed(busy, point, "backup", str(root))
    before = records(busy)
    made = wharf(busy, "backup", str(root))
    assert made["lost"] == 0
    there = elsewhere(busy)
    wharf(there, "restore", str(root))
    check(there, before)


def test_objects_that_an_earlier_backup_brought_are_not_copied_again(yard: Path) -> None:
    root = yard.parent / "backup"
    first = wharf(yard, "backup", str(root))
    second = wharf(yard, "backup", str(root))
    assert (first["new"] > 0, second["new"], second["objects"]) == (True, 0, first["objects"])
    pages = [*(root / "snapshots").glob("*/journal/*/*.ndjson")]
    assert any(page.stat().st_nlink > 1 for page in pages)


def test_an_older_snapshot_can_be_brought_back(yard: Path) -> None:
    root = yard.parent / "backup"
    first = wharf(yard, "backup", str(root))
    put(yard, {"late.bin": b"late"})
    wharf(yard, "backup", str(root))
    there = elsewhere(yard)
    assert wharf(there, "restore", str(root), "--at", first["snapshot"])["files"] == len(FILES)
    assert len(records(there)) == len(FILES)


def test_keys_and_users_come_back_and_only_their_owner_may_read_them(yard: Path) -> None:
    root = yard.parent / "backup"
    wharf(yard, "backup", str(root))
    there = elsewhere(yard)
    wharf(there, "restore", str(root))
    key = "data/ssh_host_ed25519_key"
    assert (there / key).read_bytes() == (yard / key).read_bytes()
    assert (there / key).stat().st_mode & 0o077 == 0
    copies = [*root.glob("snapshots/*/ledger*"), *root.glob("snapshots/*/ledger/*")]
    for ledger in [*copies, *(there / "data").glob("ledger.db")]:
        assert ledger.stat().st_mode & 0o077 == 0
    assert wharf(there, "users", "list") == wharf(yard, "users", "list")


def test_a_configuration_is_brought_along_where_there_is_none(yard: Path) -> None:
    root = yard.parent / "backup"
    wharf(yard, "backup", str(root))
    there = elsewhere(yard)
    (there / "wharf.yaml").unlink()
    lose_database(yard)
    wharf(there, "restore", str(root))
    assert (there / "wharf.yaml").read_bytes() == (yard / "wharf.yaml").read_bytes()


def test_a_configuration_in_the_data_directory_is_taken_for_no_key(yard: Path) -> None:
    config, keys = yard / "wharf.yaml", yard.parent / "keys"
    keys.mkdir()
    shutil.copy(yard / "data" / "ssh_host_ed25519_key", keys / "host")
    text = config.read_text().replace("port: 0}", f"port: 0, host_keys: [{keys / 'host'}]}}").replace("./out", "../out")
    (yard / "data" / "wharf.yaml").write_text(text.replace("data: ./data", "data: ."))
    home, root = yard / "data", yard.parent / "backup"
    (yard / "out").rename(yard.parent / "out")
    wharf(home, "backup", str(root))
    there = yard.parent / "there"
    there.mkdir()
    (keys / "host").unlink()
    lose_database(home)
    wharf(there, "restore", str(root))
    assert (there / "wharf.yaml").read_bytes() == (home / "wharf.yaml").read_bytes()
    assert (keys / "host").read_bytes() == (home / "ssh_host_ed25519_key").read_bytes()


def test_what_signs_urls_comes_back_wherever_it_lies(yard: Path) -> None:
    secret, root = yard.parent / "url-secret", yard.parent / "backup"
    secret.write_text("0123456789abcdef" * 4)
    config = yard / "wharf.yaml"
    config.write_text(config.read_text().replace("listeners: {", f"listeners: {{http: {{port: 0, secret: {secret}}}, "))
    wharf(yard, "backup", str(root))
    secret.unlink()
    wharf(elsewhere(yard), "restore", str(root))
    assert secret.read_text() == "0123456789abcdef" * 4


def test_a_damaged_manifest_holds_up_no_other_snapshot(yard: Path) -> None:
    root = yard.parent / "backup"
    wharf(yard, "backup", str(root))
    [first] = (root / "snapshots").iterdir()
    (root / "snapshots" / "2020-01-01T00-00-00Z").mkdir()
    (root / "snapshots" / "2020-01-01T00-00-00Z" / "manifest.json").write_text("{")
    wharf(yard, "backup", str(root))
    assert "damaged" in refused(yard, "backup", str(root), "--list")
    there = elsewhere(yard)
    assert "--at" in refused(there, "restore", str(root), "--at", "2020")
    assert wharf(there, "restore", str(root), "--at", first.name)["snapshot"] == first.name


def test_backups_below_the_data_directory_are_not_backed_up(yard: Path) -> None:
    root = yard / "data" / "backups"
    for _ in range(2):
        wharf(yard, "backup", str(root))
    kept = [path for path in (root / "snapshots").rglob("*") if "backups" in path.relative_to(root).parts]
    assert kept == []
    assert "name a directory elsewhere" in refused(yard, "backup", str(yard / "data"))
    assert "name a directory elsewhere" in refused(yard, "backup", str(yard / "data" / "store" / "backups"))


def refused(directory: Path, *words: str) -> str:
    command = [sys.executable, "-m", "wharfinger", "--config", str(directory / "wharf.yaml"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "fix: " in done.stderr
    return done.stderr


def test_a_place_that_is_not_empty_is_refused_and_left_as_it_is(yard: Path) -> None:
    root = yard.parent / "backup"
    wharf(yard, "backup", str(root))
    known = records(yard)
    assert "NOT_EMPTY" in refused(yard, "restore", str(root))
    check(yard, known)


def test_a_database_that_is_not_empty_is_refused_and_left_as_it_is(yard: Path) -> None:
    root = yard.parent / "backup"
    wharf(yard, "backup", str(root))
    there = elsewhere(yard)
    wharf(there, "users", "list")
    before = records(yard)
    assert "NOT_EMPTY" in refused(there, "restore", str(root))
    assert records(there) == {}
    assert records(yard) == before


def test_a_copy_of_a_ledger_with_one_byte_changed_is_refused_and_nothing_is_brought_back(yard: Path) -> None:
    root = yard.parent / "backup"
    wharf(yard, "backup", str(root))
    [snapshot] = (root / "snapshots").iterdir()
    there = elsewhere(yard)
    for name in DAMAGED["postgres" if database_of(yard) else "sqlite"]:
        whole = (snapshot / name).read_bytes()
        at = len(whole) // 2
        (snapshot / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert "BACKUP_CORRUPT" in refused(there, "restore", str(root))
        assert not (there / "data").exists()
        (snapshot / name).write_bytes(whole)
    wharf(there, "restore", str(root))
    check(there, records(yard))


@pytest.mark.parametrize("delivered", ["postgres"], indirect=True)
def test_a_restore_that_is_killed_before_its_commit_has_left_the_database_empty(yard: Path) -> None:
    root = yard.parent / "backup"
    wharf(yard, "backup", str(root))
    there = elsewhere(yard)
    killed(there, "restore.filled", "restore", str(root))
    with psycopg.connect(database_of(there)) as db:
        assert db.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    wharf(there, "restore", str(root))
    check(there, records(yard))


def test_an_object_that_the_store_has_lost_is_told_and_the_rest_is_backed_up(yard: Path) -> None:
    root = yard.parent / "backup"
    victim = sorted(records(yard))[0]
    (yard / "data" / "store" / "objects" / victim[:5] / victim[5:7] / victim).unlink()
    assert "STORE_LOST: 1 object" in refused(yard, "backup", str(root))
    [listed] = wharf(yard, "backup", str(root), "--list")
    assert listed["lost"] == 1


def test_an_object_that_has_rotted_is_not_taken_for_a_good_one(yard: Path) -> None:
    root = yard.parent / "backup"
    victim = sorted(records(yard))[0]
    path = yard / "data" / "store" / "objects" / victim[:5] / victim[5:7] / victim
    path.write_bytes(bytes(len(path.read_bytes())))
    assert "STORE_LOST: 1 object" in refused(yard, "backup", str(root))
    assert not (root / "objects" / victim[:5] / victim[5:7] / victim).exists()


@pytest.mark.parametrize("delivered", ["sqlite"], indirect=True)
def test_a_ledger_that_is_damaged_makes_no_snapshot(yard: Path) -> None:
    root = yard.parent / "backup"
    ledger = yard / "data" / "ledger.db"
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (pages,) = db.execute("PRAGMA page_count").fetchone()
    with ledger.open("r+b") as file:
        for page in range(5, pages):
            file.seek(4096 * page)
            file.write(b"\xff" * 4096)
    refused(yard, "backup", str(root))
    assert not [*(root / "snapshots").glob("*")]
