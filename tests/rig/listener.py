"""
The SFTP listener alone, in a process of its own: what arrives stays where it is, since no worker takes it.

`python -m rig.listener DATA` serves DATA, which holds `options.json` (fields of the settings `Sftp`, and `min_free`),
prints its port, and ends gracefully at SIGTERM.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from argon2 import PasswordHasher

from wharfinger.config.settings import Customer, Sftp
from wharfinger.ingest import land, prepare
from wharfinger.ingest.landing import Landing
from wharfinger.ingest.sftp.server import serve
from wharfinger.ledger import Entry, Filter, User
from wharfinger.ledger.keyring import Keyring
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import FileRecord
from wharfinger.store.local import LocalStore
from wharfinger.store.staging import Staging

BUCKET = "arrivals"
PASSWORD = "correct horse"


def open_database(data: Path) -> SqliteDatabase:
    return SqliteDatabase(str(data / "ledger.db"), tree=BUCKET)


def _landing(data: Path) -> Landing:
    return Landing(lambda: partial(land, LocalStore(data / "store"), open_database(data).ledger, BUCKET))


async def _serve(data: Path, landing: Landing) -> None:
    options = json.loads((data / "options.json").read_text())
    min_free = options.pop("min_free", 0)
    store, database = LocalStore(data / "store"), open_database(data)
    bound = socket.create_server(("127.0.0.1", options.pop("port", 0)))
    listener = await serve(
        Sftp(**options),
        bound,
        store=store,
        staging=Staging(data / "store" / "staging"),
        database=database,
        keyring=Keyring(data),
        land=landing,
        prepare=partial(prepare, store, BUCKET),
        customers={"acme": Customer(weight=2.0)},
        min_free=min_free,
        data=data,
        hint=lambda _: None,
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_reader(landing.sentinel, stop.set)
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)  # it ends when the test that started it is gone
    print(bound.getsockname()[1], flush=True)
    await stop.wait()
    await listener.close()
    store.close()
    database.close()


class SftpServer:
    """The server as a child process; its users are ann and bob of acme, and eve of umbrella."""

    def __init__(self, data: Path, options: Mapping[str, Any] | None = None) -> None:
        self.data = data
        self.key = data / "id_ed25519"
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        data.mkdir(parents=True, exist_ok=True)
        (data / "options.json").write_text(json.dumps(dict(options or {})))
        _make_users(self.data, self.key)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self, environment: Mapping[str, str] | None = None) -> SftpServer:
        """Start it, on the same port as before if there was one."""
        if self.port:
            options = json.loads((self.data / "options.json").read_text())
            (self.data / "options.json").write_text(json.dumps({**options, "port": self.port}))
        with open(self.data / "server.log", "a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "rig.listener", str(self.data)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=Path(__file__).parent.parent,
                env={**os.environ, **(environment or {})},
            )
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.wait()
            raise RuntimeError((self.data / "server.log").read_text())
        self.port = int(line)
        return self

    def kill(self) -> None:
        """kill -9."""
        assert self._process
        self._process.kill()
        self.wait()

    def stop(self) -> None:
        """SIGTERM, and wait for the graceful end."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            self.wait()

    def wait(self) -> int:
        assert self._process
        assert self._process.stdin
        assert self._process.stdout
        status = self._process.wait(30)
        self._process.stdin.close()
        self._process.stdout.close()
        return status

    def log(self) -> str:
        return (self.data / "server.log").read_text()

    def files(self) -> list[FileRecord]:
        """What is in the ledger, oldest first."""
        database = open_database(self.data)
        try:
            return database.catalog.files(Filter(), limit=1000)[::-1]
        finally:
            database.close()

    def versions(self, path: str) -> list[bytes]:
        """The bytes in custody that arrived under `path` ("inbound/a") of acme, oldest first; each checked against its hash."""
        store = LocalStore(self.data / "store")
        try:
            return [_content(store, record) for record in self.files() if record.key == f"acme/{path}"]
        finally:
            store.close()

    def entry(self, path: str) -> Entry | None:
        """What the tree has under `path` of acme."""
        database = open_database(self.data)
        try:
            return database.namespace.look([f"acme/{path}"])[0]
        finally:
            database.close()

    def staged(self) -> int:
        """Bytes in staging."""
        return sum(path.stat().st_size for path in (self.data / "store" / "staging").iterdir() if "." not in path.name)


def _content(store: LocalStore, record: FileRecord) -> bytes:
    with store.open(record.ref) as file:
        data = file.read()
    assert hashlib.sha256(data).hexdigest() == record.sha256
    return data


def _make_users(data: Path, key: Path) -> None:
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text().strip()
    hashed = PasswordHasher(time_cost=1, memory_cost=1024).hash(PASSWORD)
    database = open_database(data)
    database.accounts.keep(
        [
            User("ann", "acme", "acme", (public,), hashed),
            User("bob", "acme", "acme", (public,)),
            User("eve", "umbrella", "umbrella", (public,)),
            User("old", "acme", "acme", (public,), hashed, disabled=True),
        ]
    )
    database.close()


if __name__ == "__main__":
    with closing(_landing(Path(sys.argv[1]))) as landing:
        uvloop.run(_serve(Path(sys.argv[1]), landing))
