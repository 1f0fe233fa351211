"""The clients that partners use, each sending the same directory once, from a cold start to its own end."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stand.servers import HOST, Server

LIMIT_S = 600  # no client may take longer
Client = Callable[[Server, Path, str], Sequence[str]]  # (server, source, folder on the server) -> command


def sftp_batch(server: Server, source: Path, folder: str, *, cipher: str = "", sync: bool = False) -> Sequence[str]:
    """OpenSSH's sftp with one `put` a file, in one session; with `sync` it asks for an fsync after each."""
    batch = source.with_name(f"{server.name} {folder}.batch".replace("/", "-"))
    lines = [
        f"mkdir {folder}",
        *(f"put {'-f ' * sync}{path} {folder}/{path.name}" for path in sorted(source.iterdir())),
    ]
    batch.write_text("\n".join(lines) + "\n")
    return ["sftp", *server.ssh_options(cipher), "-P", str(server.port), "-b", str(batch), f"{server.user}@{HOST}"]


def lftp(server: Server, source: Path, folder: str) -> Sequence[str]:
    """lftp's mirror with 16 transfers at a time."""
    connect = " ".join(["ssh", "-a", "-x", *server.ssh_options(cipher="")])
    script = [
        f'set sftp:connect-program "{connect}"',
        "set net:max-retries 2",
        "set cmd:fail-exit true",
        f"open -u {server.user},none -p {server.port} sftp://{HOST}",
        f"mirror -R -P16 --no-perms {source} {folder}",
    ]
    return ["lftp", "--norc", "-c", "; ".join(script)]


def rclone(server: Server, source: Path, folder: str) -> Sequence[str]:
    """rclone copy with 16 transfers at a time; without remote checksums, which OpenSSH would have to run a program for."""
    options = f"host={HOST},port={server.port},user={server.user},key_file={server.key},disable_hashcheck=true"
    remote = f":sftp,{options}:{folder}"
    return ["rclone", "copy", "--config", "", "--transfers", "16", "--log-level", "ERROR", str(source), remote]


def paramiko(server: Server, source: Path, folder: str) -> Sequence[str]:
    """paramiko's put() with its check of the size, in one session."""
    program = str(Path(__file__).with_name("paramiko_put.py"))
    return [sys.executable, program, str(server.port), server.user, str(server.key), str(source), folder]


CLIENTS: Mapping[str, Client] = {
    "sftp batch": sftp_batch,
    "lftp -P16": lftp,
    "rclone": rclone,
    "paramiko": paramiko,
}


def installed() -> dict[str, Client]:
    """The clients that this machine has."""
    programs = {"sftp batch": "sftp", "lftp -P16": "lftp", "rclone": "rclone"}
    return {name: client for name, client in CLIENTS.items() if name not in programs or shutil.which(programs[name])}


def send(client: Client, server: Server, source: Path, folder: str) -> float:
    """Send all of `source` to a new `folder` at the server; seconds, connecting included. Raises CalledProcessError."""
    command = client(server, source, folder)
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    taken = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} exited with {done.returncode}: {done.stderr.strip()[-500:]}")
    return taken
