"""kill -9 while a file comes by signed URL: the client tries the URL again, and the file is in custody, once."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from rig import buckets
from rig.account import Account, calm
from rig.clients import need
from rig.serving import CONFIG, Keeper, free_port, prepare, wharf
from rig.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]

POINTS = [
    "intake.staged",
    "store.synced",
    "store.renamed",
    "intake.stored",
    "ledger.arriving",
    "intake.arrived",
    "intake.acknowledged",
]

SENT = {f"f{n}.bin": random.Random(n).randbytes(size) for n, size in enumerate([9 << 20, 0, 100])}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return calm(tmp_path_factory.mktemp("calm"), SENT)


def insist(url: str, path: Path) -> str:
    """Put the file until the server has answered: the status."""
    command = [need("curl"), "-sS", "-o", os.devnull, "-w", "%{http_code}", "--max-time", "20", "-T", str(path), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return done.stdout if not done.returncode and done.stdout[0] == "2" else ""


@pytest.mark.parametrize("point", POINTS)
def test_kill_at(point: str, tmp_path: Path, results: dict[str, bytes]) -> None:
    insist_through(point, tmp_path, CONFIG, results)


@pytest.mark.parametrize("point", ["intake.staged", "store.renamed", "intake.stored"])
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_kill_at_while_a_large_one_goes_to_a_bucket(point: str, tmp_path: Path, results: dict[str, bytes]) -> None:
    """Its object may be there before anything tells of it."""
    insist_through(
        point, tmp_path, CONFIG.replace("data: ./data\n", f"data: ./data\nstore: {buckets.url(tmp_path)}\n"), results
    )


def insist_through(point: str, directory: Path, config: str, results: dict[str, bytes]) -> None:
    """Put each file, by one URL, until it is acknowledged, though somebody is killed at this point; then once more."""
    base = f"http://127.0.0.1:{free_port()}"
    http = f"http: {{port: {base.rpartition(':')[2]}}}"
    prepare(directory, config.replace("listeners: {", f"listeners: {{{http}, "))
    account, killed, statuses = Account(directory, results), directory / "killed", {}
    urls = {name: wharf(directory, "sign", "put", f"inbound/{name}")["url"] for name in SENT}
    with Keeper(directory, {"WHARF_CRASH": point, "WHARF_CRASH_ONCE": str(killed)}) as keeper:
        keeper.await_ready()
        for name, body in SENT.items():
            (directory / "body").write_bytes(body)
            statuses[name] = wait_until("it is acknowledged", lambda: insist(urls[name], directory / "body"))  # noqa: B023
        wait_until(f"{point} was passed", killed.exists)
        account.settle()
        for name, body in SENT.items():
            (directory / "body").write_bytes(body)
            assert insist(urls[name], directory / "body") == "200"
    account.check(SENT, dict.fromkeys(SENT, 1))
