"""Real SFTP clients, as a partner runs them. A test that needs one is skipped where the machine has none."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from rig.listener import PASSWORD, SftpServer

SECONDS = 60


def need(program: str) -> str:
    """The program's path, or the test is skipped."""
    found = shutil.which(program)
    if not found:
        pytest.skip(f"{program} is not installed")
    return found


def ssh_options(key: Path) -> list[str]:
    """What OpenSSH is told so that nothing of this machine's own settings takes part."""
    options = {
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "IdentityFile": str(key),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "LogLevel": "ERROR",
        "BatchMode": "yes",
    }
    return ["-F", "none", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]


def run(command: Sequence[str], *, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, input=stdin, text=True, capture_output=True, timeout=SECONDS)
    assert not check or done.returncode == 0, f"{command[0]}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def sftp_command(server: SftpServer, *, user: str = "ann", options: Sequence[str] = ()) -> list[str]:
    return [need("sftp"), *options, "-b", "-", *ssh_options(server.key), "-P", str(server.port), f"{user}@127.0.0.1"]


def sftp(server: SftpServer, batch: str, *, user: str = "ann", check: bool = True) -> subprocess.CompletedProcess[str]:
    """OpenSSH's sftp with a batch of commands."""
    return run(sftp_command(server, user=user), stdin=batch, check=check)


def scp(server: SftpServer, source: Path, target: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        need("scp"),
        *options,
        *ssh_options(server.key),
        "-P",
        str(server.port),
        str(source),
        f"ann@127.0.0.1:{target}",
    ]
    return run(command, check=False)


def ssh(server: SftpServer, *command: str) -> subprocess.CompletedProcess[str]:
    return run([need("ssh"), *ssh_options(server.key), "-p", str(server.port), "ann@127.0.0.1", *command], check=False)


def lftp_command(server: SftpServer, script: str) -> list[str]:
    program = f"ssh -a -x {' '.join(ssh_options(server.key))}"
    settings = f"set sftp:connect-program '{program}'; set net:max-retries 1; set net:timeout 10; set cmd:fail-exit yes"
    return [need("lftp"), "-c", f"{settings}; open -u ann,none sftp://127.0.0.1:{server.port}; {script}"]


def lftp(server: SftpServer, script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run(lftp_command(server, script), check=check)


def rclone(server: SftpServer, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`words` may name the remote as `:sftp:path`."""
    options = {
        "sftp-host": "127.0.0.1",
        "sftp-port": str(server.port),
        "sftp-user": "ann",
        "sftp-key-file": str(server.key),
        "config": "/dev/null",
        "retries": "1",
        "low-level-retries": "1",
    }
    return run([need("rclone"), *words, *(f"--{name}={value}" for name, value in options.items()), "-v"], check=check)


def psftp(server: SftpServer, batch: str) -> subprocess.CompletedProcess[str]:
    """PuTTY's; it signs in by password, and ends at the first command that fails."""
    printed = run(["ssh-keygen", "-lf", str(server.data / "ssh_host_ed25519_key")]).stdout.split()[1]
    with tempfile.NamedTemporaryFile("w", suffix=".psftp") as file:
        file.write(batch)
        file.flush()
        words = ["-batch", "-P", str(server.port), "-pw", PASSWORD, "-hostkey", printed, "-b", file.name]
        return run([need("psftp"), *words, "ann@127.0.0.1"])


class Running:
    """A client in a process group of its own, to be killed in the middle."""

    def __init__(self, command: Sequence[str], stdin: str = "") -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        assert self._process.stdin
        self._process.stdin.write(stdin.encode())
        self._process.stdin.close()

    def kill(self) -> None:
        """kill -9, with all its children."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(SECONDS)

    def wait(self) -> int:
        return self._process.wait(SECONDS)


def random_file(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path
