"""`wharf serve` as a user runs it: a directory, a configuration, a key, a process."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rig import warm
from rig.clients import need, ssh_options
from wharfinger.engine.lifeline import OWNER

LEASE_S = 2.0

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
      - {uses: deliver, with: {to: out, key: "{stem}.{version}.gz"}}
"""

OF_CHILDREN = {"worker.spawned", "ledger.waking"}
"""Crash points that no file passes in these pipelines: see test_children."""

OF_GROUPS = {"ledger.advancing"}
"""Crash points that no file passes without an order: see test_groups."""


def wharf(directory: Path, *words: str, env: Mapping[str, str] | None = None, seconds: float = 60) -> Any:
    """The answer of one command as JSON; raises with its stderr where it fails."""
    options = ("--config", str(directory / "wharf.yaml"), "--json")
    environment = {**os.environ, **(env or {})}
    done = warm.run([*options, *words], environment=environment, cold=bool(env), seconds=seconds)
    assert done.returncode == 0, f"wharf {' '.join(words)}: {done.returncode}: {done.stderr}{done.stdout[-2000:]}"
    return json.loads(done.stdout) if done.stdout.strip() else None


class Serving:
    """One `wharf serve`; stopped, with all its children, when the block ends."""

    def __init__(self, directory: Path, env: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.env = dict(env or {})
        self.process: subprocess.Popen[str] | None = None
        self.ready: Mapping[str, Any] = {}

    def __enter__(self) -> Serving:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.stop()
        else:
            self.kill()
            print(self.log())

    @property
    def port(self) -> int:
        return int(self.ready["sftp"]["port"])

    def start(self) -> None:
        """Start and wait until it says that it is ready."""
        self.launch()
        assert self.await_ready(), f"wharf serve ended at once: {self.log()}"

    def launch(self) -> None:
        """Start, in a session of its own."""
        words = ("-m", "wharfinger", "--config", str(self.directory / "wharf.yaml"), "--json", "serve")
        with (self.directory / "serve.log").open("a") as err:
            self.process = subprocess.Popen(
                [sys.executable, *words],
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                env={**os.environ, **self.env},
                start_new_session=True,
            )

    def await_ready(self) -> bool:
        """Whether it became ready; False where it ended before."""
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            self.ready = json.loads(line)
        return bool(line)

    def log(self) -> str:
        return (self.directory / "serve.log").read_text()

    def children(self) -> dict[str, int]:
        """The process ids of its living children by name ("worker-1", "sftp")."""
        assert self.process is not None
        return children(self.process.pid)

    def stop(self) -> int:
        """Ask it to end, as Ctrl-C does."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(timeout=30)
        finally:
            self.kill()

    def kill(self) -> None:
        """Its whole session dies at once, as in a power cut."""
        assert self.process is not None
        assert self.process.stdout is not None
        kill_session(self.process.pid)
        self.process.wait()
        self.process.stdout.close()


class Keeper:
    """
    An init system in a thread, and the only one that starts `wharf serve`: again whenever its supervisor has died, until the block
    ends. It listens on the same port throughout, so that a client need only connect again.
    """

    def __init__(self, directory: Path, env: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.sessions: list[int] = []  # process groups that were started
        self._serving = Serving(directory, {**(env or {}), "WHARF_LISTENERS__SFTP__PORT": str(self.port)})
        self._is_ready, self._is_over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeper")

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_over.set()
        while self._thread.is_alive():  # it may be about to start another
            for session in self.sessions:
                kill_session(session)
            self._thread.join(0.1)
        if kind:
            print(self._serving.log())

    def await_ready(self) -> None:
        """Return when the listener and all workers have been ready once."""
        assert self._is_ready.wait(60), self._serving.log()

    def processes(self) -> dict[str, int]:
        """The process ids of everybody who lives: children by name, and "supervisor"."""
        leader = self.sessions[-1] if self.sessions else 0
        return {"supervisor": leader, **children(leader)} if is_alive(leader) else {}

    def owners(self) -> list[str]:
        """The names under which its living children claim."""
        return [_environ(pid).get(OWNER, "") for pid in living(self.sessions[-1])] if self.sessions else []

    def _keep(self) -> None:
        while not self._is_over.is_set():
            self._serving.launch()
            process = self._serving.process
            assert process is not None
            assert process.stdout is not None
            self.sessions.append(process.pid)
            if self._serving.await_ready():
                self._is_ready.set()
            process.wait()
            process.stdout.close()


def kill_session(leader: int) -> None:
    """Kill whoever is left in the process group that this process led."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def children(parent: int) -> dict[str, int]:
    """
    The process ids of a supervisor's living children by name; they carry it in the name under which they claim. "landing" is the
    listener's own child.
    """
    owners = {_environ(pid).get(OWNER, ""): pid for pid in living(parent)}
    found = {owner.rpartition("-")[0]: pid for owner, pid in owners.items() if owner}
    return found | dict(zip(["landing"], living(found.get("sftp", 0))))


def _environ(pid: int) -> dict[str, str]:
    with suppress(OSError):
        entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
        return dict(entry.split("=", 1) for entry in entries if "=" in entry)
    return {}


def living(parent: int) -> list[int]:
    """Its children that have not ended."""
    return [pid for pid in unreaped(parent) if is_alive(pid)]


def unreaped(parent: int) -> list[int]:
    """Its children, but for those whose end it has seen. One that is ending has no environment any more."""
    with suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    return []


def is_alive(pid: int | str) -> bool:
    """Whether the process is there and no zombie."""
    return state(pid) not in "ZX"


def is_stopped(pid: int | str) -> bool:
    """Whether SIGSTOP has reached the process."""
    return state(pid) == "T"


def state(pid: int | str) -> str:
    """Its letter in proc(5); X where it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "X"


def free_port() -> int:
    """A port that nobody has, outside the range from which the kernel takes ports for connections."""
    while True:
        port = random.randint(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def prepare(directory: Path, config: str = CONFIG, *, user: str = "bob", customer: str = "acme") -> None:
    """A configuration, a key pair and a user in `directory`."""
    (directory / "wharf.yaml").write_text(config)
    (directory / "out").mkdir(exist_ok=True)
    key = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    wharf(directory, "users", "add", user, "--customer", customer, "--key", f"{key}.pub")


def put(directory: Path, files: Mapping[str, bytes]) -> None:
    """Take these files into custody as if they had been uploaded to `inbound/`; no server need run."""
    folder = directory / "local"
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    wharf(directory, "put", *[str(folder / name) for name in files])


@contextmanager
def worker(directory: Path, env: Mapping[str, str], *, ends: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A `wharf worker` of its own. When the block ends it is told to stop, if it lives, and must end with this status."""
    command = [sys.executable, "-m", "wharfinger", "--config", str(directory / "wharf.yaml"), "worker"]
    with subprocess.Popen(command, env={**os.environ, **env}) as process:
        try:
            yield process
            process.terminate()
            assert process.wait(30) == ends
        finally:
            process.kill()


def sftp(
    directory: Path, port: int, lines: Sequence[str], *, user: str = "bob", timeout_s: float = 120.0
) -> subprocess.CompletedProcess[str]:
    """Run lines of an OpenSSH `sftp` batch."""
    key = directory / "key"
    command = [need("sftp"), *ssh_options(key), "-P", str(port), "-b", "-", f"{user}@127.0.0.1"]
    return subprocess.run(
        command, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=timeout_s, cwd=directory
    )
