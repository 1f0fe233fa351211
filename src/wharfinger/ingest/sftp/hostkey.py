"""The server's own keys, by which clients know it again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import asyncssh

from wharfinger.errors import ConfigError
from wharfinger.store import disk

NAME = "ssh_host_ed25519_key"
"""The file in the data directory that a key is made in, where none is configured."""

ANSWER_S = 5.0
"""How long a server may take to show its host key."""


def host_keys(paths: Sequence[Path], data: Path) -> list[asyncssh.SSHKey]:
    """The keys at `paths`; where there are none the key in `data`, made at the first call. Raises ConfigError."""
    return _read(paths or [_made(data / NAME)])


def known_keys(paths: Sequence[Path], data: Path) -> list[asyncssh.SSHKey]:
    """Like `host_keys`, but none is made."""
    made = data / NAME
    return _read(paths or ([made] if made.exists() else []))


async def answering_key(host: str, port: int) -> asyncssh.SSHKey | None:
    """The host key of the SSH server there; None where nobody shows one within `ANSWER_S`."""
    with suppress(OSError, asyncssh.Error):  # a TimeoutError is an OSError
        async with asyncio.timeout(ANSWER_S):
            return await asyncssh.get_server_host_key(host, port, config=None)
    return None


def _read(paths: Sequence[Path]) -> list[asyncssh.SSHKey]:
    """A server shows a client one key of each type."""
    found: dict[str, asyncssh.SSHKey] = {}
    for path in paths:
        try:
            key = asyncssh.read_private_key(path)
        except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as exc:
            raise ConfigError(
                f"listeners.sftp.host_keys: {path} cannot be used: {exc}",
                fix="name a private key that has no passphrase",
            ) from exc
        if key.get_algorithm() in found:
            raise ConfigError(
                f"listeners.sftp.host_keys: {path} is a second key of the type {key.get_algorithm()}",
                fix="name one key of each type",
            )
        found[key.get_algorithm()] = key
    return [*found.values()]


def _made(path: Path) -> Path:
    """The key at this path, made at the first call."""
    disk.make_secret(
        str(path), lambda: asyncssh.generate_private_key("ssh-ed25519", comment="wharfinger").export_private_key()
    )
    return path
