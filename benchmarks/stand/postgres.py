"""
A Postgres server of the benchmark's own, on the disk that is measured: fsync as delivered (on), and the added delay felt by it too.

As root, initdb refuses: server and files then belong to another user, who must be able to reach the directory.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from stand.servers import HOST, free_port

OPTIONS = {"max_connections": 200, "shared_buffers": "256MB", "log_min_messages": "fatal"}
"""Beside what every installation has: room for the workers of two, and what a small server would be given."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that runs."""

    port: int
    version: str
    commit_ms: float  # of one row, median

    def url(self, name: str) -> str:
        """That of its database `name`."""
        return f"postgresql://wharf@{HOST}:{self.port}/{name}"

    def made(self, name: str) -> str:
        """The URL of a new, empty database."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def rest(self, name: str) -> None:
        """Pay now what a database's turn has left to do later: nobody is vacuumed or checkpointed for while others are measured."""
        with psycopg.connect(self.url(name), autocommit=True) as db:
            db.execute("VACUUM ANALYZE")
            db.execute("CHECKPOINT")

    def ask(self, name: str, sql: str) -> tuple[Any, ...]:
        """The first row that database `name` answers."""
        with psycopg.connect(self.url(name), autocommit=True) as db:
            return db.execute(sql).fetchone() or ()


def missing() -> str:
    """Why there can be no server here; "" where there can."""
    return "" if _binaries() else "no Postgres server is installed"


@contextmanager
def postgres(
    work: Path, env: Mapping[str, str], delay_ms: float = 0.0, settings: Mapping[str, Any] | None = None
) -> Iterator[Postgres]:
    """A server with its files below `work`. Raises RuntimeError where it cannot be made, or an added delay is not felt."""
    binaries, who, home = _binaries(), _who(), work / "postgres"
    if not binaries:
        raise RuntimeError(missing())
    home.mkdir()
    if who:
        work.chmod(0o711)
        shutil.chown(home, **who)
    data, port = home / "data", free_port()
    initdb = [binaries / "initdb", "-D", data, "-U", "wharf", "--auth=trust", "--encoding=UTF8", "--locale=C"]
    done = subprocess.run([*initdb, "--no-sync"], capture_output=True, text=True, cwd="/", **_as(who))
    if done.returncode:
        raise RuntimeError(f"initdb: {done.stderr.strip()[-500:]} (can user {who.get('user', 'you')} reach {home}?)")
    options = [f"-c{name}={value}" for name, value in {**OPTIONS, **(settings or {})}.items()]
    command = [binaries / "postgres", "-D", data, "-k", home, "-h", HOST, "-p", str(port), *options]
    with subprocess.Popen(command, cwd="/", env=_reachable(env, home), **_as(who)) as process:
        try:
            yield _met(process, port, delay_ms)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)


def _met(process: subprocess.Popen[bytes], port: int, delay_ms: float) -> Postgres:
    """The server once it takes connections, and what a commit takes."""
    end, address = time.monotonic() + 60, f"postgresql://wharf@{HOST}:{port}/postgres"
    while True:
        try:
            with psycopg.connect(address, autocommit=True) as db:
                commit_ms = median(_commits(db))
                if commit_ms < delay_ms:
                    raise RuntimeError(f"a commit takes {commit_ms:.2f} ms: the added delay is not felt by Postgres")
                version = db.execute("SHOW server_version").fetchone() or ("",)
                return Postgres(port, str(version[0]).partition(" ")[0], commit_ms)
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.05)


def _commits(db: psycopg.Connection[tuple[Any, ...]]) -> list[float]:
    db.execute("CREATE TABLE commits (n integer)")
    taken = []
    for n in range(32):
        begun = time.perf_counter()
        db.execute("INSERT INTO commits VALUES (%s)", (n,))
        taken.append((time.perf_counter() - begun) * 1e3)
    db.execute("DROP TABLE commits")
    return taken


def _reachable(env: Mapping[str, str], home: Path) -> dict[str, str]:
    """The environment with a copy of the slower disk's library where the server's user may read it."""
    library = env.get("LD_PRELOAD", "")
    if not library:
        return dict(env)
    shutil.copy(library, home / "delay.so")
    (home / "delay.so").chmod(0o755)
    return {**env, "LD_PRELOAD": str(home / "delay.so")}


def _binaries() -> Path | None:
    """Where initdb and postgres are."""
    found = shutil.which("pg_config")
    said = subprocess.run([found, "--bindir"], capture_output=True, text=True).stdout.strip() if found else ""
    places = [Path(said), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


def _who() -> dict[str, Any]:
    """The user and group for the server, where this one is root."""
    if os.geteuid():
        return {}
    users = {user.pw_name: user for user in pwd.getpwall()}
    user = users.get("postgres") or users["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid}


def _as(who: Mapping[str, Any]) -> dict[str, Any]:
    return {**who, "extra_groups": []} if who else {}
