"""The server's keys: made once, private, and told apart from files that are none."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncssh
import pytest

from wharfinger.errors import ConfigError
from wharfinger.ingest.sftp.hostkey import NAME, answering_key, host_keys, known_keys


def test_a_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    (first,), (second,) = host_keys((), tmp_path), host_keys((), tmp_path)
    assert first.public_data == second.public_data
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_looking_for_keys_makes_none(tmp_path: Path) -> None:
    assert known_keys((), tmp_path) == []
    made = host_keys((), tmp_path)
    assert [key.public_data for key in known_keys((), tmp_path)] == [key.public_data for key in made]
    with pytest.raises(ConfigError):
        known_keys((tmp_path / "none",), tmp_path)


def test_one_key_of_a_type_is_shown(tmp_path: Path) -> None:
    for name, kind in (("old", "ssh-ed25519"), ("new", "ssh-ed25519"), ("other", "ecdsa-sha2-nistp256")):
        asyncssh.generate_private_key(kind).write_private_key(tmp_path / name)
    assert len(host_keys((tmp_path / "new", tmp_path / "other"), tmp_path)) == 2
    for read in (host_keys, known_keys):
        with pytest.raises(ConfigError, match="new is a second key of the type ssh-ed25519"):
            read((tmp_path / "old", tmp_path / "new"), tmp_path)


def test_who_does_not_speak_ssh_shows_no_key() -> None:
    async def mumble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-9.9-wharf\r\n")
        writer.close()

    async def ask() -> None:
        server = await asyncio.start_server(mumble, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert await answering_key("127.0.0.1", port) is None
        server.close()
        assert await answering_key("127.0.0.1", port) is None

    asyncio.run(ask())


def test_processes_that_start_together_use_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: host_keys((), tmp_path)[0].public_data, range(8)))
    assert len(set(found)) == 1


def test_configured_keys_are_used_and_none_is_made(tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")
    key.write_private_key(tmp_path / "mine")
    assert [k.public_data for k in host_keys((tmp_path / "mine",), tmp_path)] == [key.public_data]
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("content", [None, b"", b"no key"])
def test_a_file_that_is_no_key_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="broken"):
        host_keys((path,), tmp_path)


def test_a_key_with_a_passphrase_is_named(tmp_path: Path) -> None:
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "locked", passphrase="x")
    with pytest.raises(ConfigError, match="passphrase"):
        host_keys((tmp_path / "locked",), tmp_path)
