"""kill -9 while files of a folder are taken, and senders that overwrite them meanwhile: nothing is lost, nothing is taken twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rig.account import Account, calm
from rig.serving import CONFIG, Keeper, children, is_stopped, prepare, wharf
from rig.waiting import wait_until
from wharfinger.telemetry.crash import POINTS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]

SOURCES = """\
sources:
  drop: {directory: ./drop, customer: acme, complete: rename, original: delete, scan_s: 0.3}
"""

LANDING = ["intake.staged", "store.synced", "store.renamed", "intake.stored", "ledger.arriving", "intake.arrived"]
OWN = [point for point in POINTS if point.startswith(("source.", "folder."))]


def files(count: int) -> dict[str, bytes]:
    rand = random.Random(count)
    return {f"f{n:04d}.bin": rand.randbytes(rand.choice([0, 1, 3_000, 40_000])) for n in range(count)}


SENT = files(24)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return calm(tmp_path_factory.mktemp("calm"), SENT)


def put(folder: Path, name: str, data: bytes) -> None:
    """As a careful sender does."""
    (folder / f"{name}.tmp").write_bytes(data)
    os.rename(folder / f"{name}.tmp", folder / name)


def furnish(root: Path) -> Path:
    prepare(root, CONFIG + SOURCES)
    (root / "drop").mkdir()
    return root / "drop"


@pytest.mark.parametrize("point", [*LANDING, *OWN, "folder.aside:3"])
def test_kill_at(point: str, tmp_path: Path, results: dict[str, bytes]) -> None:
    folder = furnish(tmp_path)
    account, killed = Account(tmp_path, results), tmp_path / "killed"
    for name, data in SENT.items():
        put(folder, name, data)
    with Keeper(tmp_path, {"WHARF_CRASH": point, "WHARF_CRASH_ONCE": str(killed)}):
        wait_until(f"{point} was passed", killed.exists)
        account.settle()
        wait_until("the folder is empty", lambda: os.listdir(folder) == [])
    account.check(SENT, dict.fromkeys(SENT, 1))
    assert wharf(tmp_path, "reconcile")["unaccounted"] == 0


@contextmanager
def stopped_at(point: str, root: Path) -> Iterator[int]:
    """A `wharf serve` whose watch stands still at this point; the process id of that."""
    there = root / "stopped"
    env = {"WHARF_CRASH": point, "WHARF_CRASH_SIGNAL": "SIGSTOP", "WHARF_CRASH_ONCE": str(there)}
    with Keeper(root, env) as keeper:
        wait_until("it has come there", there.exists)
        watch = children(keeper.sessions[-1])["sources"]
        wait_until("it stands still", lambda: is_stopped(watch))
        yield watch


@pytest.mark.parametrize("point", ["intake.staged", "source.landed", "folder.aside"])
@pytest.mark.parametrize("end", [signal.SIGCONT, signal.SIGKILL], ids=["continued", "killed"])
def test_a_file_that_is_overwritten_meanwhile_is_taken_as_well(point: str, end: signal.Signals, tmp_path: Path) -> None:
    """What was overwritten before its bytes were durable is its sender's affair."""
    expected = [6] if (point, end) == ("intake.staged", signal.SIGKILL) else [5, 6]
    folder = furnish(tmp_path)
    put(folder, "a.bin", b"first")
    with stopped_at(point, tmp_path) as watch:
        put(folder, "a.bin", b"second")
        os.kill(watch, end)
        wait_until("both are taken", lambda: len(wharf(tmp_path, "files")) == len(expected), seconds=20)
        wait_until("the folder is empty", lambda: os.listdir(folder) == [])
    assert sorted(record["size"] for record in wharf(tmp_path, "files")) == expected


def test_random_kills(tmp_path: Path) -> None:
    """Of the watch alone, while files come in; with a `wharf reconcile` beside it now and then."""
    sent = files(int(os.environ.get("WHARF_RANDOM_FILES", "200")))
    (tmp_path / "calm").mkdir()
    results = calm(tmp_path / "calm", sent)
    root = tmp_path / "root"
    root.mkdir()
    folder, rand = furnish(root), random.Random(1)
    account = Account(root, results)
    with Keeper(root) as keeper:
        keeper.await_ready()
        for n, (name, data) in enumerate(sent.items()):
            put(folder, name, data)
            time.sleep(rand.random() * 0.02)
            if n % 10 == 9 and (watch := children(keeper.sessions[-1]).get("sources")):
                os.kill(watch, signal.SIGKILL)
            if n % 50 == 49:
                wharf(root, "reconcile")
        account.settle(120)
        wait_until("the folder is empty", lambda: os.listdir(folder) == [])
    account.check(sent, dict.fromkeys(sent, 1))
