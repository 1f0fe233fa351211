"""The demo's client: the machine's OpenSSH `sftp` where there is one, else asyncssh."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import asyncssh
from rich.console import Console

from wharfinger.errors import WharfingerError
from wharfinger.ingest.sftp import hostkey


def send(directory: Path, port: int, user: str, names: Sequence[str], console: Console) -> str:
    """Upload `names` from the outbox into `inbound/`; answers which client did it. Raises when the client reports a failure."""
    host_key = asyncssh.read_private_key(directory / "data" / hostkey.NAME).export_public_key().decode()
    (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    program = shutil.which("sftp")
    with console.status(
        "uploading with " + ("OpenSSH sftp" if program else "asyncssh (this machine has no OpenSSH sftp)")
    ):
        if program:
            _openssh(program, directory, port, user, names)
        else:
            asyncio.run(_asyncssh(directory, port, user, names))
    client = "OpenSSH sftp" if program else "asyncssh"
    console.print(f"{len(names)} files uploaded with {client}.")
    return client


def _openssh(program: str, directory: Path, port: int, user: str, names: Sequence[str]) -> None:
    batch = directory / "batch"
    batch.write_text("".join(f'put "outbox/{name}" "inbound/{name}"\n' for name in names), encoding="utf-8")
    options = {
        "IdentityFile": "nora_ed25519",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": "known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "LogLevel": "ERROR",
    }
    flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    command = [program, "-F", "/dev/null", *flags, "-P", str(port), "-b", "batch", f"{user}@127.0.0.1"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WharfingerError(f"sftp failed: {done.stderr.strip()}", fix=f"read {directory / 'serve.log'}")


async def _asyncssh(directory: Path, port: int, user: str, names: Sequence[str]) -> None:
    keys = {"client_keys": str(directory / "nora_ed25519"), "known_hosts": str(directory / "known_hosts")}
    connecting = asyncssh.connect("127.0.0.1", port, username=user, config=None, **keys)
    async with connecting as connection, connection.start_sftp_client() as sftp:
        for name in names:
            await sftp.put(str(directory / "outbox" / name), f"inbound/{name}")
