"""`wharf serve` as a user runs it: a directory, a configuration, a key, a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rig.clients import need, ssh_options

CONFIG = """\
data: ./data
min_free: 1048576
listeners: {sftp: {host: 127.0.0.1, port: 0}}
workers: {count: 2, lease_s: 2}
customers: {acme: {}}
destinations:
  out: {directory: ./out}
  kept: {bucket: kept}
pipelines:
  all:
    route: {key: "inbound/**"}
    retry: {tries: 3, base_s: 0.05, cap_s: 0.2}
    steps:
      - {uses: compress, checkpoint: true}
      - {uses: deliver, name: keep, with: {to: kept}}
      - {uses: deliver, with: {to: out, key: "{name}.{version}.gz"}}
"""


def wharf(directory: Path, *words: str, env: Mapping[str, str] | None = None) -> Any:
    """The answer of one command as JSON; raises with its stderr where it fails."""
    command = [sys.executable, "-m", "wharfinger", "--config", str(directory / "wharf.yaml"), "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=60)
    assert done.returncode == 0, f"wharf {' '.join(words)}: {done.returncode}: {done.stderr}"
    return json.loads(done.stdout) if done.stdout.strip() else None


class Serving:
    """One `wharf serve`; killed, with all its children, when the block ends."""

    def __init__(self, directory: Path, env: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.env = dict(env or {})
        self.process: subprocess.Popen[str] | None = None
        self.ready: Mapping[str, Any] = {}

    def __enter__(self) -> Serving:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        return int(self.ready["sftp"]["port"])

    def start(self) -> None:
        """Start and wait until it says that it is ready."""
        command = [
            sys.executable,
            "-m",
            "wharfinger",
            "--config",
            str(self.directory / "wharf.yaml"),
            "--json",
            "serve",
        ]
        with (self.directory / "serve.log").open("a") as err:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                env={**os.environ, **self.env},
                start_new_session=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"wharf serve ended at once: {self.log()}"
        self.ready = json.loads(line)

    def log(self) -> str:
        return (self.directory / "serve.log").read_text()

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; with SIGKILL its whole session dies at once, as in a power cut."""
        assert self.process is not None
        assert self.process.stdout is not None
        if self.process.poll() is None:
            if how is signal.SIGKILL:
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.send_signal(how)
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        self.process.stdout.close()
        return code


def prepare(directory: Path, config: str = CONFIG, *, user: str = "bob", customer: str = "acme") -> None:
    """A configuration, a key pair and a user in `directory`."""
    (directory / "wharf.yaml").write_text(config)
    (directory / "out").mkdir(exist_ok=True)
    key = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    wharf(directory, "users", "add", user, "--customer", customer, "--key", f"{key}.pub")


def sftp(
    directory: Path, port: int, lines: Sequence[str], *, user: str = "bob", timeout_s: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run lines of an OpenSSH `sftp` batch."""
    key = directory / "key"
    command = [need("sftp"), *ssh_options(key), "-P", str(port), "-b", "-", f"{user}@127.0.0.1"]
    return subprocess.run(
        command, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=timeout_s, cwd=directory
    )
