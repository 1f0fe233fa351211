"""The listener: who gets in, how long they may stay, what it offers, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from rig.clients import random_file, sftp
from rig.databases import an_arrival
from rig.listener import BUCKET, PASSWORD, SftpServer, open_database
from rig.packets import packet, string, u32, u64
from rig.waiting import wait_until
from wharfinger.ingest.sftp.server import MAX_CHANNELS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    server = SftpServer(tmp_path_factory.mktemp("server")).start()
    yield server
    server.stop()


def connect(server: SftpServer, user: str = "ann", **options: Any) -> Any:
    options.setdefault("client_keys", [str(server.key)])
    return asyncssh.connect("127.0.0.1", server.port, username=user, known_hosts=None, config=None, **options)


def sign_in(server: SftpServer, user: str = "ann", **options: Any) -> bool:
    async def attempt() -> bool:
        try:
            async with connect(server, user, **options):
                return True
        except asyncssh.PermissionDenied:
            return False

    return asyncio.run(attempt())


def test_keys_and_passwords_open_their_own_accounts(server: SftpServer) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    assert sign_in(server)
    assert sign_in(server, client_keys=None, password=PASSWORD)
    assert not sign_in(server, client_keys=[stranger])
    assert not sign_in(server, client_keys=None, password="wrong")
    for user in ("old", "nobody", "bob"):
        assert not sign_in(server, user, client_keys=None, password=PASSWORD)
    assert not sign_in(server, "old")


def test_passwords_can_be_switched_off(tmp_path: Path) -> None:
    server = SftpServer(tmp_path, {"passwords": False}).start()
    assert not sign_in(server, client_keys=None, password=PASSWORD)
    assert sign_in(server)
    server.stop()


def test_the_offer_is_modern_and_tells_no_version(server: SftpServer) -> None:
    async def look() -> dict[str, str]:
        async with connect(server) as conn:
            return {name: conn.get_extra_info(name) for name in ("server_version", "recv_cipher", "recv_compression")}

    found = asyncio.run(look())
    assert found["server_version"] == "SSH-2.0-wharfinger"
    for weak in (
        {"kex_algs": ["diffie-hellman-group14-sha1"]},
        {"encryption_algs": ["aes256-cbc"]},
        {"encryption_algs": ["aes256-ctr"], "mac_algs": ["hmac-sha1"]},
        {"compression_algs": ["zlib@openssh.com"]},
        {"server_host_key_algs": ["ssh-rsa"]},
    ):
        with pytest.raises(asyncssh.KeyExchangeFailed):
            sign_in(server, **weak)
    for good in ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"):
        assert sign_in(server, encryption_algs=[good])
    assert sign_in(server, kex_algs=["mlkem768x25519-sha256"])
    assert sign_in(server, kex_algs=["curve25519-sha256"])


def test_who_does_not_sign_in_is_cut_off(tmp_path: Path) -> None:
    server = SftpServer(tmp_path, {"login_s": 0.3}).start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as silent:
        silent.sendall(b"SSH-2.0-silent\r\n")
        while silent.recv(4096):
            pass
    server.stop()


def leaves_a_partial(server: SftpServer, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Who has sent three bytes is cut off by the server soon after `meanwhile`, and what was sent stays."""

    async def upload() -> None:
        async with connect(server) as conn, conn.start_sftp_client() as client:
            file = await client.open("inbound/a", "wb")
            await file.write(b"abc")
            meanwhile()
            await asyncio.wait_for(conn.wait_closed(), 20)
            cut_off.append(True)

    cut_off: list[bool] = []
    with contextlib.suppress(asyncssh.Error, OSError):
        asyncio.run(upload())
    assert cut_off, "it was still connected after 20 s"
    entry = wait_until("the entry is there", lambda: server.entry("inbound/a"))
    assert (entry.kind, entry.size) == ("partial", 3)
    server.stop()


def test_who_falls_silent_is_cut_off_and_leaves_a_partial(tmp_path: Path) -> None:
    leaves_a_partial(SftpServer(tmp_path, {"idle_s": 0.5}).start())


def test_who_is_disabled_goes_and_leaves_a_partial(tmp_path: Path) -> None:
    def disable() -> None:
        with contextlib.closing(open_database(tmp_path)) as database:
            database.accounts.change("ann", lambda user: replace(user, disabled=True))

    leaves_a_partial(SftpServer(tmp_path).start(), disable)


def test_a_name_that_ends_like_a_directory_makes_no_file(server: SftpServer, tmp_path: Path) -> None:
    said = sftp(server, f"put {random_file(tmp_path / 'a', 10)} inbound/orders/\n", check=False)
    assert "No such file" in said.stderr + said.stdout
    assert server.entry("inbound/orders") is None


def test_who_takes_nothing_of_what_it_asked_for_is_cut_off(tmp_path: Path) -> None:
    server = SftpServer(tmp_path / "server", {"idle_s": 1}).start()
    sftp(server, f"put {random_file(tmp_path / 'big', 4_000_000)} inbound/big\n")

    async def ask_and_grant_no_window() -> None:
        async with asyncio.timeout(20), connect(server) as conn:
            process = await conn.create_process(subsystem="sftp", encoding=None, window=1 << 16)
            for request in packet(1, 3), packet(3, 1, string("inbound/big"), u32(1), u32(0)):
                process.stdin.write(request)
                await process.stdout.read(4096)
            for n in range(100):
                process.stdin.write(packet(5, n, string(b"1"), u64(0), u32(1 << 17)))
            await conn.wait_closed()

    with contextlib.suppress(asyncssh.Error, ConnectionError):
        asyncio.run(ask_and_grant_no_window())
    server.stop()
    assert server.log() == ""


def test_a_client_that_is_no_sftp_is_cut_off_and_others_are_not(server: SftpServer) -> None:
    async def talk() -> int | None:
        async with connect(server) as conn:
            process = await conn.create_process(subsystem="sftp", encoding=None)
            process.stdin.write(b"\xff" * 100)
            return (await process.wait()).exit_status

    assert asyncio.run(talk()) == 1
    assert sign_in(server)


def test_only_the_subsystem_sftp_is_there(server: SftpServer) -> None:
    async def ask() -> None:
        async with connect(server) as conn:
            await conn.create_process(subsystem="netconf")

    with pytest.raises(asyncssh.ChannelOpenError):
        asyncio.run(ask())


def test_there_is_a_limit_to_sessions_on_a_connection(server: SftpServer) -> None:
    async def open_many() -> None:
        async with connect(server) as conn:
            clients = [await conn.start_sftp_client() for _ in range(MAX_CHANNELS)]
            with pytest.raises(asyncssh.ChannelOpenError, match=str(MAX_CHANNELS)):
                await conn.start_sftp_client()
            clients[0].exit()
            await clients[0].wait_closed()
            async with conn.start_sftp_client() as client:
                assert await client.exists("inbound")

    asyncio.run(open_many())


def test_the_server_may_open_as_many_files_as_the_system_lets_it(server: SftpServer) -> None:
    soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


async def flood(conn: Any) -> None:
    """Ask for 750 MB, grant a window for it, and read nothing."""
    process = await conn.create_process(subsystem="sftp", encoding=None, window=1 << 31)
    process.stdin.write(packet(1, 3) + packet(3, 1, string("inbound/big"), u32(1), u32(0)))
    await process.stdout.readexactly(4 + 1)
    conn._transport.pause_reading()  # a client that misbehaves
    for n in range(3000):
        process.stdin.write(packet(5, n, string(b"1"), u64(0), u32(261_120)))
    await asyncio.sleep(1.5)


def test_a_client_that_reads_nothing_costs_no_memory(server: SftpServer, tmp_path: Path) -> None:
    sftp(server, f"put {random_file(tmp_path / 'big', 4_000_000)} inbound/big\n")

    def resident() -> int:
        lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) << 10

    async def grow() -> int:
        async with connect(server) as conn:
            before = resident()
            await flood(conn)
            grown = resident() - before
            conn.abort()
            return grown

    assert asyncio.run(grow()) < 60_000_000


def test_a_client_that_reads_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    server = SftpServer(tmp_path / "server").start()
    sftp(server, f"put {random_file(tmp_path / 'big', 4_000_000)} inbound/big\n")

    async def stop() -> None:
        async with connect(server) as conn:
            await flood(conn)
            await asyncio.get_running_loop().run_in_executor(None, server.stop)
            conn.abort()

    asyncio.run(stop())
    assert server.log() == ""


def test_the_host_key_stays_the_same(tmp_path: Path) -> None:
    server = SftpServer(tmp_path)

    async def key() -> bytes:
        async with connect(server) as conn:
            return bytes(conn.get_server_host_key().public_data)

    found = []
    for _ in range(2):
        server.start()
        found.append(asyncio.run(key()))
        server.stop()
    assert found[0] == found[1]


def test_no_upload_begins_on_a_full_disk(tmp_path: Path) -> None:
    server = SftpServer(tmp_path / "server", {"min_free": 1 << 60}).start()
    done = sftp(server, f"put {random_file(tmp_path / 'a', 10)} inbound/a\n", check=False)
    assert done.returncode != 0
    assert server.files() == []
    server.stop()


def test_an_upload_replaces_the_older_file_though_the_clock_went_back(tmp_path: Path) -> None:
    server = SftpServer(tmp_path / "server")
    earlier = an_arrival("acme/inbound/a", at=time.time() + 3600, size=3, bucket=BUCKET)
    database = open_database(server.data)
    database.ledger.arrive([earlier])
    database.close()
    server.start()
    sftp(server, f"put {random_file(tmp_path / 'a', 10)} inbound/a\n")
    entry = server.entry("inbound/a")
    server.stop()
    assert entry
    assert (entry.size, entry.version > earlier.version) == (10, True)
