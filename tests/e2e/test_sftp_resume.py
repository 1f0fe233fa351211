"""Uploads that are killed in the middle: never in a pipeline, resumed with the right bytes, across crashes of the server too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.clients import Running, lftp, lftp_command, psftp, random_file, run, scp, sftp, sftp_command
from rig.listener import SftpServer
from rig.waiting import wait_until

pytestmark = pytest.mark.slow

SIZE = 6_000_000
SLOW = ["-l", "24000"]  # kbit/s: two seconds for SIZE


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServer]:
    server = SftpServer(tmp_path / "server").start()
    yield server
    server.stop()
    assert server.log() == ""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return random_file(tmp_path / "source", SIZE)


def begin(server: SftpServer, source: Path, name: str = "a") -> Running:
    """An upload that has begun and is far from its end."""
    client = Running(sftp_command(server, options=SLOW), f"put {source} inbound/{name}\n")
    wait_until("so much is staged", lambda: server.staged() > 500_000)
    return client


def kill(server: SftpServer, client: Running, *, more_than: int = 0) -> int:
    """Kill the client; the size of the partial that it leaves."""
    client.kill()
    entry = wait_until(
        "the entry is there", lambda: (found := server.entry("inbound/a")) and found.size > more_than and found
    )
    assert entry.kind == "partial"
    assert 500_000 <= entry.size < SIZE
    assert server.files() == []
    return int(entry.size)


def test_a_killed_upload_is_resumed_by_reput(server: SftpServer, source: Path) -> None:
    kept = kill(server, begin(server, source))
    shown = sftp(server, f"ls -l inbound/a\nreput {source} inbound/a\n").stdout
    assert str(kept) in shown
    assert server.versions("inbound/a") == [source.read_bytes()]
    assert server.staged() == 0


def test_a_killed_upload_is_resumed_by_lftp(server: SftpServer, source: Path) -> None:
    script = f"set net:limit-total-rate 0:2000000; put {source} -o inbound/a"
    client = Running(lftp_command(server, script))
    wait_until("so much is staged", lambda: server.staged() > 500_000)
    kill(server, client)
    lftp(server, f"put -c {source} -o inbound/a")
    assert server.versions("inbound/a") == [source.read_bytes()]


def test_a_killed_upload_is_resumed_by_psftp(server: SftpServer, source: Path) -> None:
    kill(server, begin(server, source))
    psftp(server, f"reput {source} inbound/a\n")
    assert server.versions("inbound/a") == [source.read_bytes()]


def test_a_killed_upload_is_resumed_twice(server: SftpServer, source: Path) -> None:
    first = kill(server, begin(server, source))
    client = Running(sftp_command(server, options=SLOW), f"reput {source} inbound/a\n")
    wait_until("so much is staged", lambda: server.staged() > first + 500_000)
    kill(server, client, more_than=first)
    sftp(server, f"reput {source} inbound/a\n")
    assert server.versions("inbound/a") == [source.read_bytes()]


def test_a_killed_upload_may_be_sent_anew(server: SftpServer, source: Path, tmp_path: Path) -> None:
    other = random_file(tmp_path / "other", 1000)
    kill(server, begin(server, source))
    sftp(server, f"put {other} inbound/a\n")
    assert server.versions("inbound/a") == [other.read_bytes()]
    assert server.staged() == 0
    begin(server, source, "b").kill()
    wait_until("the entry is there", lambda: server.entry("inbound/b"))
    assert scp(server, other, "inbound/b").returncode == 0
    assert server.versions("inbound/b") == [other.read_bytes()]


def test_a_killed_overwrite_leaves_the_version_before(server: SftpServer, source: Path, tmp_path: Path) -> None:
    old = random_file(tmp_path / "old", 1000)
    sftp(server, f"put {old} inbound/a\n")
    client = begin(server, source)
    client.kill()
    wait_until("the entry is there", lambda: (entry := server.entry("inbound/a")) and entry.kind == "partial")
    sftp(server, f"rm inbound/a\nget inbound/a {tmp_path / 'back'}\n")
    assert (tmp_path / "back").read_bytes() == old.read_bytes()
    assert server.versions("inbound/a") == [old.read_bytes()]


def test_a_server_killed_in_the_middle_of_an_upload_offers_all_its_bytes(server: SftpServer, source: Path) -> None:
    client = Running(sftp_command(server, options=["-l", "8000"]), f"put {source} inbound/a\n")
    wait_until("the entry is there", lambda: server.entry("inbound/a"))
    server.kill()
    assert client.wait() != 0
    staged = server.staged()
    server.start()
    wait_until("the entry is there", lambda: (entry := server.entry("inbound/a")) and entry.size == staged)
    assert server.files() == []
    sftp(server, f"reput {source} inbound/a\n")
    assert server.versions("inbound/a") == [source.read_bytes()]


def test_a_server_stopped_in_the_middle_keeps_the_partial(server: SftpServer, source: Path) -> None:
    client = begin(server, source)
    server.stop()
    assert client.wait() != 0
    entry = server.entry("inbound/a")
    assert entry
    assert (entry.kind, entry.size) == ("partial", server.staged())
    server.start()
    sftp(server, f"reput {source} inbound/a\n")
    assert server.versions("inbound/a") == [source.read_bytes()]


def test_two_clients_on_one_name_make_two_whole_versions(server: SftpServer, source: Path, tmp_path: Path) -> None:
    other = random_file(tmp_path / "other", SIZE)
    client = begin(server, source)
    assert scp(server, other, "inbound/a").returncode == 0
    sftp(server, f"put {other} inbound/a\n")
    assert client.wait() == 0
    assert server.versions("inbound/a") == [other.read_bytes(), other.read_bytes(), source.read_bytes()]


BEFORE = ["intake.staged", "store.synced", "store.renamed", "intake.stored", "ledger.arriving"]
COMMITTED = [
    "intake.handed",
    "intake.arrived",
    "intake.answered",
]  # the listener's death does not end what landing has begun


@pytest.mark.parametrize("point", [*BEFORE, *COMMITTED])
def test_a_crash_before_the_answer_costs_at_most_a_repeat(tmp_path: Path, point: str) -> None:
    server = SftpServer(tmp_path / "server").start({"WHARF_CRASH": point})
    source = random_file(tmp_path / "source", 20_000)
    assert sftp(server, f"put {source} inbound/a\n", check=False).returncode != 0
    server.wait()
    server.start()
    sftp(server, f"put {source} inbound/a\n")
    assert server.versions("inbound/a") == [source.read_bytes()] * (2 if point in COMMITTED else 1)
    server.stop()


def test_a_crash_right_after_the_answer_loses_nothing(tmp_path: Path) -> None:
    server = SftpServer(tmp_path / "server").start({"WHARF_CRASH": "intake.acknowledged"})
    source = random_file(tmp_path / "source", 20_000)
    run(sftp_command(server), stdin=f"put {source} inbound/a\n", check=False)
    server.wait()
    assert server.versions("inbound/a") == [source.read_bytes()]
