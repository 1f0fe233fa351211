"""
A Postgres server of the tests' own, which all tests of a process share, and the processes that they start: a schema each.

As root, initdb refuses: server and files then belong to another user. What sorts by language there (ICU, en-US) shows whether
a text is compared by code points here.
"""

from __future__ import annotations

import atexit
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import psycopg

from rig.needs import missing

SHARED = "WHARF_TEST_POSTGRES"
"""The variable with the URL of the server that is shared."""

LOCKED = "locked"
"""The role, where a test has made it, that must give its password; all others are trusted."""

_started: list[Server] = []

OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": 300,
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "deadlock_timeout": "100ms",
}


class Server:
    """A server with its files in a new directory. A context; `url` is that of its database."""

    def __init__(self, **options: Any) -> None:
        self._binaries = binaries() or missing("postgres", "no Postgres server is installed")
        self._options = {**OPTIONS, **options}
        self._who = _who()
        self.folder = Path(tempfile.mkdtemp(prefix="wharf-pg-", dir="/tmp"))
        if self._who:
            shutil.chown(self.folder, **self._who)
        how = ("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "wharf", "--no-sync", *how)
        with open(self.folder / "data" / "pg_hba.conf", "r+") as hba:
            rules = hba.read()
            hba.seek(0)
            hba.write(f"host all {LOCKED} 127.0.0.1/32 scram-sha-256\n{rules}")
        self.port = _free_port()
        self.url = f"postgresql://wharf@127.0.0.1:{self.port}/postgres"
        self.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Until it takes connections."""
        options = [f"-c{name}={value}" for name, value in self._options.items()]
        data = str(self.folder / "data")
        command = [self._binaries / "postgres", "-D", data, "-k", self.folder, "-p", str(self.port), *options]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **self._as)
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def stop(self) -> None:
        """As its operator would."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def kill(self) -> None:
        """Every process of it at once, as when the machine's memory is at its end."""
        pids = [self._process.pid, *_children(self._process.pid)]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait(60)

    @property
    def _as(self) -> dict[str, Any]:
        return {**self._who, "extra_groups": []} if self._who else {}

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._binaries / program, *arguments], capture_output=True, text=True, cwd="/", **self._as
        )
        assert done.returncode == 0, done.stderr


@functools.cache
def binaries() -> Path | None:
    """Where initdb and postgres are."""
    found = shutil.which("pg_config")
    said = subprocess.run([found, "--bindir"], capture_output=True, text=True).stdout.strip() if found else ""
    places = [Path(said), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


def shared() -> str:
    """The URL of the server that all share; it ends with the process that asked first."""
    if SHARED not in os.environ:
        server = Server()
        os.environ[SHARED] = server.url
        _started.append(server)
        atexit.register(end)
    return os.environ[SHARED]


def end() -> None:
    """Stop the server that this process has started for all, if it has. Workers of xdist end without looking at atexit."""
    while _started:
        _started.pop().__exit__()
        os.environ.pop(SHARED, None)


def schema(root: Path, server: str = "") -> str:
    """The URL of a database that is empty for the first who asks for `root`, and the same for all others."""
    note = root / "postgres.url"
    if not note.exists():
        name = f"t{uuid.uuid4().hex}"
        url = server or shared()
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(f"CREATE SCHEMA {name}")
        root.mkdir(parents=True, exist_ok=True)
        note.write_text(f"{url}?options=-csearch_path%3D{name}")
    return note.read_text()


def database(name: str = "", *, like: str = "") -> str:
    """The URL of a new database on the server that all share, empty or a copy of the one at `like`, which nobody may use meanwhile."""
    name, url = name or f"t{uuid.uuid4().hex}", shared()
    template = f" TEMPLATE {like.rpartition('/')[2]}" if like else ""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        db.execute(f"CREATE DATABASE {name}{template}")
    return f"{url.rpartition('/')[0]}/{name}"


def wipe(root: Path) -> None:
    """Take everything out of the database that `schema` has made for `root`."""
    url = schema(root)
    name = url.rpartition("%3D")[2]
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"DROP SCHEMA {name} CASCADE")
        db.execute(f"CREATE SCHEMA {name}")


def _who() -> dict[str, Any]:
    """The user and group for the server, where this one is root."""
    if os.geteuid():
        return {}
    users = {user.pw_name: user for user in pwd.getpwall()}
    user = users.get("postgres") or users["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
