"""Disks that are full, and disks that fail, under a real `wharf serve`: a clear refusal, and recovery without loss."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import asyncssh
import pytest

from rig import faultdisk
from rig.account import Account, Record, calm, name
from rig.serving import CONFIG, Keeper, Serving, prepare, put, sftp, wharf
from rig.uploading import upload
from rig.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("backend")]

ON_SMALL = CONFIG.replace("data: ./data", "data: ./small/data")
SENT = {f"f{n}": b"some bytes " * 100 * n for n in range(3)}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return calm(tmp_path_factory.mktemp("calm"), SENT)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 24 MiB, which needs the right to mount one."""
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs a small filesystem of its own: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def fill(disk: Path, *, leave: int = 0) -> Path:
    """A file that takes the whole disk but for so many bytes."""
    ballast = disk / "ballast"
    room = os.statvfs(disk)
    with ballast.open("wb") as file:
        file.write(bytes(room.f_bavail * room.f_frsize - leave))
    return ballast


def test_an_upload_that_does_not_fit_is_refused_with_a_sentence(small: Path, tmp_path: Path) -> None:
    prepare(tmp_path, ON_SMALL)
    (tmp_path / "big").write_bytes(os.urandom(20 << 20))
    (tmp_path / "little").write_bytes(b"fits")
    account = Account(tmp_path, {"little": b""})
    with Serving(tmp_path) as serving:
        ballast = fill(small, leave=10 << 20)
        assert sftp(tmp_path, serving.port, ["put big inbound/big"]).returncode != 0
        assert (
            refusal(tmp_path, serving.port, bytes(20 << 20))
            == "the server has no room for uploads at the moment; try again later"
        )
        assert account.records() == []
        ballast.unlink()
        assert sftp(tmp_path, serving.port, ["-rm inbound/big", "put little inbound/little"]).returncode == 0
        (record,) = account.settle()
    assert (name(record), record["status"], record["size"]) == ("little", "transferred", 4)


def test_a_disk_that_fills_up_in_the_middle_of_work_delays_it_and_no_more(
    small: Path, tmp_path: Path, results: Mapping[str, bytes], backend: str
) -> None:
    """The ledger on Postgres has a disk of its own."""
    prepare(tmp_path, ON_SMALL)
    account, stopped = Account(tmp_path, results), tmp_path / "stopped"
    put(tmp_path, SENT)
    env = {"WHARF_CRASH": "worker.noted", "WHARF_CRASH_SIGNAL": "SIGSTOP", "WHARF_CRASH_ONCE": str(stopped)}
    with Serving(tmp_path, env) as serving:
        wait_until("a worker is about to settle", stopped.exists)
        ballast = fill(small)
        what = "for uploads " if backend == "postgres" else ""
        said = refusal(tmp_path, serving.port, b"at a user's first session")
        assert said == f"the server has no room {what}at the moment; try again later"
        for pid in serving.children().values():
            os.kill(pid, signal.SIGCONT)
        if backend == "sqlite":
            ledger_is_full(tmp_path)
        ballast.unlink()
        account.settle()
    account.check(SENT, dict.fromkeys(SENT, 1))


def refusal(directory: Path, port: int, data: bytes) -> str:
    """What a client is told that shows the server's own words; OpenSSH has one word for all failures."""

    async def send() -> None:
        signed_in = {"username": "bob", "client_keys": [str(directory / "key")], "known_hosts": None, "config": None}
        async with (
            asyncssh.connect("127.0.0.1", port, **signed_in) as connection,
            connection.start_sftp_client() as client,
            client.open("inbound/refused", "wb") as file,
        ):
            await file.write(data)

    with pytest.raises(asyncssh.Error) as refused:
        asyncio.run(send())
    return refused.value.reason


def ledger_is_full(directory: Path) -> None:
    command = ["users", "add", "eve", "--customer", "acme", "--key", str(directory / "key.pub")]
    with pytest.raises(AssertionError, match="no space left for the ledger"):
        wharf(directory, *command)


@pytest.mark.parametrize(
    ("part", "who"),
    [("/staging/", "client"), ("/journal/", "client"), ("/objects/", "client"), ("/out", "worker")],
)
def test_a_sync_that_fails_once_costs_a_repeat_and_nothing_else(
    part: str, who: str, tmp_path: Path, results: Mapping[str, bytes]
) -> None:
    prepare(tmp_path)
    tries, records = fail_one_sync(part, tmp_path, results)
    repeated = {
        "client": sum(tries.values()) > len(SENT),
        "worker": any(record["attempts"] > 1 for record in records),
    }
    assert repeated[who]


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)  # a server syncs by itself: see test_postgres
def test_a_sync_of_the_ledger_that_fails_once_leaves_no_trace(tmp_path: Path, results: Mapping[str, bytes]) -> None:
    """The call is repeated inside."""
    prepare(tmp_path)
    fail_one_sync("/ledger.db-wal", tmp_path, results)


def fail_one_sync(
    part: str, directory: Path, results: Mapping[str, bytes]
) -> tuple[Mapping[str, int], Sequence[Record]]:
    """Send all files while one sync of such a path fails: how often each was sent, and the records."""
    account, failed = Account(directory, results), directory / "failed"
    library = faultdisk.library(directory)
    env = faultdisk.environ(
        library, root=directory, log=directory / "log", FAULTDISK_FAIL=f"sync {part} 5", FAULTDISK_ONCE=str(failed)
    )
    with Keeper(directory, env) as keeper:
        tries = upload(SENT, directory / "key", keeper.port)
        wait_until("a sync failed", failed.exists)
        account.settle()
    return tries, account.check(SENT, tries)
