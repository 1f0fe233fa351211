"""The ledger is deleted: everything that was acknowledged comes back, and nothing is delivered twice."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from rig import postgres
from rig.account import Account, calm, name
from rig.serving import Serving, prepare, put, wharf, worker
from rig.uploading import upload
from rig.waiting import wait_until

pytestmark = pytest.mark.slow

KEPT = (
    "file_id",
    "key",
    "version",
    "size",
    "sha256",
    "customer_id",
    "upload_timestamp",
    "media_type",
    "source",
    "user",
)


def some(kind: str, count: int) -> dict[str, bytes]:
    return {f"{kind}{n}": random.Random(f"{kind}{n}").randbytes(2000) for n in range(count)}


def test_a_deleted_ledger_is_rebuilt_from_the_store(tmp_path: Path, backend: str) -> None:
    settled, delivered, waiting = some("settled", 20), some("delivered", 3), some("waiting", 3)
    sent = settled | delivered | waiting
    (tmp_path / "calm").mkdir()
    results = calm(tmp_path / "calm", sent)
    prepare(tmp_path)
    account = Account(tmp_path, results)
    with Serving(tmp_path) as serving:
        upload(settled, tmp_path / "key", serving.port)
        wait_until("all have been delivered", lambda: len(list((tmp_path / "out").glob("[!.]*"))) == len(settled))
    deliver_without_a_word(tmp_path, delivered)
    put(tmp_path, waiting)
    before, there = {r["file_id"]: r for r in account.records()}, visible(tmp_path)
    assert len(there) == len(settled) + len(delivered)

    delete_ledger(tmp_path, backend)
    rebuilt = wharf(tmp_path, "ledger", "rebuild")
    assert (rebuilt["arrivals"], rebuilt["delivered"]) == (len(sent), len(settled))
    after = {r["file_id"]: r for r in account.records()}
    assert [{what: r[what] for what in KEPT} for r in after.values()] == [
        {what: r[what] for what in KEPT} for r in before.values()
    ]
    assert {name(r) for r in after.values() if r["status"] == "transferred"} == set(settled)
    with Serving(tmp_path):
        account.settle()
    account.check(sent, dict.fromkeys(sent, 1))
    now = visible(tmp_path)
    assert {each: now[each] for each in there} == there


def delete_ledger(directory: Path, backend: str) -> None:
    if backend == "postgres":
        postgres.wipe(directory)
    for path in (directory / "data").glob("ledger.db*"):
        path.unlink()


def deliver_without_a_word(directory: Path, files: dict[str, bytes]) -> None:
    """Take these in, and kill the worker when they lie in the directory but neither journal nor ledger knows."""
    put(directory, files)
    with worker(directory, {"WHARF_CRASH": "worker.delivered:2"}, ends=-signal.SIGKILL) as process:
        process.wait(30)


def visible(directory: Path) -> dict[str, tuple[int, int]]:
    found = {path.name: path.stat() for path in (directory / "out").glob("[!.]*")}
    return {each: (stat.st_ino, stat.st_mtime_ns) for each, stat in found.items()}
