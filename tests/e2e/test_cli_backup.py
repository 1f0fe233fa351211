"""`wharf backup` and `wharf restore` where the ledger is on a server, or the store in a bucket, or both."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def test_with_postgres_and_a_bucket_ledger_and_keys_are_backed_up_and_nothing_is_lost(tmp_path: Path) -> None:
    here, root = tmp_path / "here", tmp_path / "backup"
    ledger, other = postgres.database(), postgres.database()
    configure(here, ledger, buckets.url(tmp_path))
    put(here, {f"before-{n}.csv": b"%d" % n for n in range(10)})
    with all_transferred(here, 16):
        wait_until("some are transferred", lambda: wharf(here, "status")["files"]["transferred"])
        wharf(here, "signing", "list")
        made = wharf(here, "backup", str(root))
        assert (parts(made), made["files"], made["objects"], made["lost"]) == (["store"], 10, 0, 0)
        put(here, {f"after-{n}.csv": b"%d" % n for n in range(6)})
    known = records(here)
    there = elsewhere(here, ledger=(ledger, other))
    told = wharf(there, "restore", str(root))
    assert (parts(told), told["files"], told["late"]) == (["store"], 16, 6)
    assert keys(there) == keys(here)
    assert wharf(there, "users", "list") == wharf(here, "users", "list")
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


def test_a_snapshot_is_not_restored_where_the_ledger_is_of_another_kind(tmp_path: Path) -> None:
    here, root = tmp_path / "here", tmp_path / "backup"
    configure(here, postgres.database(), "")
    wharf(here, "backup", str(root))
    there = elsewhere(here)
    (there / "wharf.yaml").write_text(re.sub("ledger: .*", "ledger: sqlite", (here / "wharf.yaml").read_text()))
    assert "its ledger is of another kind" in said(there, "restore", str(root), status=2)
    assert not (there / "data").exists()


def test_keys_of_another_installation_are_not_replaced(tmp_path: Path) -> None:
    here, root, ledger = tmp_path / "here", tmp_path / "backup", postgres.database()
    configure(here, ledger, buckets.url(tmp_path))
    wharf(here, "signing", "list")
    wharf(here, "backup", str(root))
    there = elsewhere(here, ledger=(ledger, postgres.database()))
    shutil.copytree(here / "data", there / "data")
    (there / "data" / "signing-keys.json").write_text("another")
    assert "NOT_EMPTY" in said(there, "restore", str(root), status=2)
    assert (there / "data" / "signing-keys.json").read_text() == "another"
    shutil.copy(here / "data" / "signing-keys.json", there / "data" / "signing-keys.json")
    wharf(there, "restore", str(root))  # the same ones: nothing to lose
