"""SFTP servers on free loopback ports: the system's OpenSSH and a plain durable asyncssh, each a process of its own."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

FAST = "aes128-gcm@openssh.com"  # the cipher of every comparison, unless a client is asked for its own choice
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs. Relative paths of its clients begin in a directory of its own."""

    name: str
    port: int
    user: str
    key: Path  # the client's private key
    pid: int
    held: Callable[[], int]  # how many files it holds whole, by its own account
    durable: bool = True

    def ssh_options(self, cipher: str = FAST) -> list[str]:
        """What OpenSSH's clients need to reach it; with an empty `cipher` they choose."""
        settings = [
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ConnectTimeout=10",
        ]
        chosen = ["-c", cipher] if cipher else []
        return ["-F", "none", "-i", str(self.key), *(f"-o{setting}" for setting in settings), *chosen]


@dataclass(frozen=True, slots=True)
class Keys:
    """One key pair for the clients and one for the hosts."""

    client: Path
    host: Path
    authorized: Path  # the client's public key

    @classmethod
    def made(cls, directory: Path) -> Keys:
        """New Ed25519 keys under `directory`."""
        keys = cls(directory / "client", directory / "host", directory / "client.pub")
        for path in (keys.client, keys.host):
            pair = asyncssh.generate_private_key("ssh-ed25519")
            path.touch(mode=0o600)
            pair.write_private_key(path)
            pair.write_public_key(path.with_suffix(".pub"))
        return keys


SSHD = """
ListenAddress {host}:{port}
HostKey {keys.host}
AuthorizedKeysFile {keys.authorized}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
PrintMotd no
MaxStartups 1000
MaxSessions 1000
UseDNS no
LogLevel ERROR
Subsystem sftp internal-sftp -d {root}
ForceCommand internal-sftp -d {root}
"""


@contextmanager
def openssh(work: Path, keys: Keys, env: Mapping[str, str]) -> Iterator[Server]:
    """The system's sshd with internal-sftp: not durable, and the fastest there is."""
    sshd = find_sshd()
    if sshd is None:
        raise FileNotFoundError("no sshd on this machine: install openssh-server")
    Path("/run/sshd").mkdir(exist_ok=True) if os.geteuid() == 0 else None
    root, config, port = fresh(work / "openssh"), work / "sshd_config", free_port()
    config.write_text(SSHD.format(host=HOST, port=port, keys=keys, root=root))
    with running([sshd, "-D", "-E", str(work / "sshd.log"), "-f", str(config)], env=env) as process:
        wait_for_port(process, port)
        user = pwd.getpwuid(os.geteuid()).pw_name
        yield Server("OpenSSH", port, user, keys.client, process.pid, lambda: count_files(root), durable=False)


@contextmanager
def plain(work: Path, keys: Keys, env: Mapping[str, str]) -> Iterator[Server]:
    """asyncssh's SFTPServer, made durable in the plain way (see plain.py)."""
    root = fresh(work / "plain")
    program = [
        sys.executable,
        str(Path(__file__).with_name("plain.py")),
        str(root),
        str(keys.host),
        str(keys.authorized),
    ]
    with running(program, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        yield Server("plain asyncssh", port, "bench", keys.client, process.pid, lambda: count_files(root))


@contextmanager
def running(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdout: int | None = None,
    pass_fds: Sequence[int] = (),
    stop_s: float = 20,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of a block: asked to end, and killed if it does not within `stop_s`. On Linux it ends with us, too."""
    linked = _end_with_parent if sys.platform == "linux" else None
    with subprocess.Popen(
        command, env=env, stdout=stdout, stdin=subprocess.DEVNULL, pass_fds=pass_fds, preexec_fn=linked
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(stop_s)
            except subprocess.TimeoutExpired:
                process.kill()


_libc = ctypes.CDLL(None)


def _end_with_parent() -> None:
    _libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, prctl(2): also where we are killed


def find_sshd() -> str | None:
    """The full path of sshd (it re-executes itself by that), or None."""
    return shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for_port(process: subprocess.Popen[bytes], port: int, within_s: float = 20) -> None:
    """Return once `port` is answered; RuntimeError when the process ends or the time is over first."""
    end = time.monotonic() + within_s
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection((HOST, port), 1).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}; exit code {process.poll()}")


def fresh(root: Path) -> Path:
    """A new directory for one server's files, with the folder that loads go to; one that is there already is an error."""
    (root / "inbound").mkdir(parents=True)
    return root


def count_files(root: Path) -> int:
    """How many files lie below `root`."""
    return sum(len(files) for _, _, files in os.walk(root))
