"""`wharf backup` and `wharf restore` where the ledger is on a server, or the store in a bucket, or both."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rig import buckets, postgres
from rig.serving import CONFIG, Serving, prepare, put, wharf
from rig.waiting import wait_until

pytestmark = pytest.mark.slow

KEYS = ("signing-keys.json", "ssh_host_ed25519_key", "url_secret")


def configure(directory: Path, ledger: str, store: str) -> None:
    """A `wharf` in this directory whose ledger and store are there: a URL, or "" for a file of this machine."""
    places = f"ledger: {ledger or 'sqlite'}\nstore: {store or 'local'}\n"
    text = CONFIG.replace("data: ./data\n", f"data: ./data\n{places}")
    directory.mkdir(exist_ok=True)
    prepare(directory, text.replace("listeners: {", "listeners: {http: {port: 0}, "))


def elsewhere(directory: Path, **changed: str) -> Path:
    """An empty place with the same configuration, but for these words."""
    there = directory.parent / "there"
    (there / "out").mkdir(parents=True)
    text = (directory / "wharf.yaml").read_text()
    for word, other in changed.values():
        text = text.replace(word, other)
    (there / "wharf.yaml").write_text(text)
    return there


def database(name: str) -> str:
    """The URL of a new database on the server that all share."""
    url = postgres.shared()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        db.execute(f"CREATE DATABASE {name}")
    return url.rpartition("/")[0] + f"/{name}"


def pg(program: str, *words: str) -> None:
    binaries = postgres.binaries()
    assert binaries
    done = subprocess.run([binaries / program, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@contextmanager
def all_transferred(directory: Path, count: int) -> Iterator[None]:
    """Serve until so many files are; the block runs meanwhile."""
    with Serving(directory):
        yield
        wait_until("all are transferred", lambda: wharf(directory, "status")["files"]["transferred"] == count)


def records(directory: Path) -> dict[str, tuple[Any, ...]]:
    facts = ("key", "version", "size", "sha256", "status")
    return {file["file_id"]: tuple(file[fact] for fact in facts) for file in wharf(directory, "files", "--all")}


def keys(directory: Path) -> dict[str, bytes]:
    return {name: (directory / "data" / name).read_bytes() for name in KEYS}


def parts(told: Mapping[str, Any]) -> list[str]:
    return [left["part"] for left in told["left"]]


def said(directory: Path, *words: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "wharfinger", "--config", str(directory / "wharf.yaml"), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_with_postgres_and_a_bucket_keys_are_backed_up_and_nothing_is_lost(tmp_path: Path) -> None:
    here, root, dump = tmp_path / "here", tmp_path / "backup", tmp_path / "wharf.dump"
    ledger, other = database("backup_here"), database("backup_there")
    configure(here, ledger, buckets.url(tmp_path))
    put(here, {f"before-{n}.csv": b"%d" % n for n in range(10)})
    with all_transferred(here, 16):
        wait_until("some are transferred", lambda: wharf(here, "status")["files"]["transferred"])
        wharf(here, "signing", "list")
        pg("pg_dump", "--format=custom", f"--file={dump}", ledger)
        made = wharf(here, "backup", str(root))
        assert (parts(made), made["files"], made["objects"], made["lost"]) == (["ledger", "store"], 0, 0, 0)
        put(here, {f"after-{n}.csv": b"%d" % n for n in range(6)})
    known = records(here)
    there = elsewhere(here, ledger=(ledger, other))
    (there / "wharf.yaml").unlink()
    assert parts(wharf(there, "restore", str(root))) == ["ledger", "store"]
    assert keys(there) == keys(here)
    assert (there / "wharf.yaml").read_bytes() == (here / "wharf.yaml").read_bytes()
    with psycopg.connect(other) as db:
        assert db.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    (there / "wharf.yaml").write_text((here / "wharf.yaml").read_text().replace(ledger, other))
    pg("pg_restore", f"--dbname={other}", str(dump))
    found = wharf(there, "ledger", "rebuild", "--missing")
    assert (found["arrivals"], found["known"], found["users"]) == (6, 10, 1)
    assert wharf(there, "audit", "verify")["findings"] == []
    assert wharf(there, "store", "verify")["problems"] == []
    with all_transferred(there, 16):
        pass
    assert records(there) == known
    assert wharf(there, "audit", "verify")["findings"] == []


def test_with_a_bucket_the_ledgers_file_and_the_keys_are_backed_up(tmp_path: Path) -> None:
    here, root = tmp_path / "here", tmp_path / "backup"
    configure(here, "", buckets.url(tmp_path))
    put(here, {f"before-{n}.csv": b"%d" % n for n in range(10)})
    with all_transferred(here, 16):
        wait_until("ten are transferred", lambda: wharf(here, "status")["files"]["transferred"] == 10)
        wharf(here, "signing", "list")
        made = wharf(here, "backup", str(root))
        assert (parts(made), made["files"], made["objects"], made["lost"]) == (["store"], 10, 0, 0)
        put(here, {f"after-{n}.csv": b"%d" % n for n in range(6)})
    there = elsewhere(here)
    told = wharf(there, "restore", str(root))
    assert (parts(told), told["files"], told["late"]) == (["store"], 16, 6)
    assert keys(there) == keys(here)
    assert records(there) == records(here)
    assert wharf(there, "audit", "verify")["findings"] == []
    assert wharf(there, "store", "verify")["problems"] == []


def test_with_postgres_the_local_store_and_the_keys_are_backed_up(tmp_path: Path) -> None:
    here, root, dump = tmp_path / "here", tmp_path / "backup", tmp_path / "wharf.dump"
    ledger, other = database("backup_disk"), database("backup_disk_there")
    configure(here, ledger, "")
    put(here, {f"before-{n}.csv": b"%d" % n for n in range(10)})
    with all_transferred(here, 16):
        wharf(here, "signing", "list")
        pg("pg_dump", "--format=custom", f"--file={dump}", ledger)
        put(here, {f"meanwhile-{n}.csv": b"%d" % n for n in range(6)})
        made = wharf(here, "backup", str(root))
        assert (parts(made), made["files"], made["lost"]) == (["ledger"], 0, 0)
        assert made["objects"] >= 16
    known = {id: facts[:-1] for id, facts in records(here).items()}
    there = elsewhere(here, ledger=(ledger, other))
    assert parts(wharf(there, "restore", str(root))) == ["ledger"]
    assert keys(there) == keys(here)
    pg("pg_restore", f"--dbname={other}", str(dump))
    wharf(there, "ledger", "rebuild", "--missing")
    assert {id: facts[:-1] for id, facts in records(there).items()} == known
    assert wharf(there, "store", "verify")["problems"] == []
    assert wharf(there, "audit", "verify")["findings"] == []


def test_what_is_left_to_others_is_named_with_its_means(tmp_path: Path) -> None:
    here, root = tmp_path / "here", tmp_path / "backup"
    configure(here, "", buckets.url(tmp_path))
    wharf(here, "signing", "list")
    told = said(here, "backup", str(root))
    assert "0 records, keys and configuration" in told
    assert "not in it: the store, s3://" in told
    assert "versions or a replica" in told
    assert "store" in said(here, "backup", str(root), "--list")
    there = elsewhere(here)
    assert "not in the backup: the store, s3://" in said(there, "restore", str(root))


def test_a_snapshot_is_not_restored_where_other_parts_are_left_to_others(tmp_path: Path) -> None:
    here, root = tmp_path / "here", tmp_path / "backup"
    configure(here, "", buckets.url(tmp_path))
    wharf(here, "backup", str(root))
    there = elsewhere(here, store=(buckets.url(tmp_path), "local"))
    told = said(there, "restore", str(root), status=2)
    assert "the store was s3://" in told
    assert not (there / "data").exists()


def test_keys_of_another_installation_are_not_replaced(tmp_path: Path) -> None:
    here, root = tmp_path / "here", tmp_path / "backup"
    configure(here, database("backup_keys"), buckets.url(tmp_path))
    wharf(here, "signing", "list")
    wharf(here, "backup", str(root))
    there = elsewhere(here)
    shutil.copytree(here / "data", there / "data")
    wharf(there, "restore", str(root))  # the same ones: nothing to lose
    (there / "data" / "signing-keys.json").write_text("another")
    assert "NOT_EMPTY" in said(there, "restore", str(root), status=2)
    assert (there / "data" / "signing-keys.json").read_text() == "another"
