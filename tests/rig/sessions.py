"""Sessions over in-memory streams, with a real store and a real ledger behind them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rig.packets import CREAT, HANDLE, OK, TRUNC, R, Reply, W, attrs, packet, replies, string, u32, u64
from wharfinger.ingest import land, prepare
from wharfinger.ingest.sftp.collector import Collector
from wharfinger.ingest.sftp.housekeeping import Housekeeping
from wharfinger.ingest.sftp.intake import Intake
from wharfinger.ingest.sftp.session import Session
from wharfinger.ingest.sftp.tree import Tree
from wharfinger.ledger import Filter, User
from wharfinger.ledger.keyring import Keyring
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import FileRecord
from wharfinger.store.local import LocalStore
from wharfinger.store.staging import Staging
from wharfinger.store.versions import Versions

T = TypeVar("T")

BUCKET = "arrivals"
ANN, BOB = User("ann", "acme", "acme"), User("bob", "acme", "acme")


class Desk:
    """What one server process has, and an event loop that tests step from outside."""

    def __init__(self, root: Path, *, min_free: int = 0, patience_s: float = 10.0) -> None:
        self.root = root
        self.runner = asyncio.Runner()
        self.store = LocalStore(root / "store")
        self.staging = Staging(root / "store" / "staging")
        self.database = SqliteDatabase(str(root / "ledger.db"), tree=BUCKET, patience_s=patience_s)
        self.hinted: list[str] = []
        self.clock = 1e9
        self._clients: list[Client] = []
        self.run(self._open(min_free))

    async def _open(self, min_free: int) -> None:
        self.collector = Collector(
            partial(asyncio.to_thread, partial(land, self.store, self.database.ledger, BUCKET)),
            hint=self.hinted.extend,
        )
        self.intake = Intake(
            store=self.store,
            staging=self.staging,
            database=self.database,
            keyring=Keyring(self.root),
            collector=self.collector,
            pool=ThreadPoolExecutor(2),
            prepare=partial(prepare, self.store, BUCKET),
            min_free=min_free,
            weight=lambda customer: 2.0 if customer == "acme" else 1.0,
            version=Versions(),
        )
        self.housekeeping = Housekeeping(self.intake, self.staging, partial_s=1000, clock=lambda: self.clock)
        await self.intake.furnish(Tree(ANN).standard())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def sign_in(self, user: User = ANN) -> Client:
        self._clients.append(Client(self, user))
        return self._clients[-1]

    def files(self) -> list[FileRecord]:
        """What is in the ledger, oldest first."""
        return self.database.catalog.files(Filter())[::-1]

    def content(self, record: FileRecord) -> bytes:
        with self.store.open(record.ref) as file:
            data = file.read()
        assert len(data) == record.size
        assert hashlib.sha256(data).hexdigest() == record.sha256
        return data

    def close(self) -> None:
        for client in self._clients:
            client.leave()
        self.run(self.intake.close())
        self.runner.close()
        self.store.close()
        self.database.close()


class Client:
    """A client's end of a session: it asks, and may wait for the answer."""

    def __init__(self, desk: Desk, user: User) -> None:
        self.desk = desk
        self.written: list[bytes] = []  # as the server wrote it
        self.is_paused = False
        self.arrived: asyncio.Event = asyncio.Event()
        self._id = 0
        self.id = f"{user.name}-{id(self)}"
        self.session = desk.run(self._open(user))
        self.send(packet(1, 3))
        self.until(lambda: self.written)
        self.version = self.written.pop()

    async def _open(self, user: User) -> Session:
        return Session(Tree(user), self.desk.intake, self, id=self.id)

    # -- the server's Wire

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.arrived.set()

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    # -- the client

    def send(self, data: bytes) -> None:
        async def receive() -> None:
            self.session.receive(data)

        self.desk.run(receive())

    def until(self, fact: Callable[[], Any], seconds: float = 10.0) -> None:
        async def wait() -> None:
            async with asyncio.timeout(seconds):
                while not fact():
                    self.arrived.clear()
                    await self.arrived.wait()

        self.desk.run(wait())

    def next_id(self) -> int:
        self._id += 1
        return self._id

    def got(self) -> list[Reply]:
        return replies(b"".join(self.written))

    def ask_all(self, *requests: tuple[int, bytes]) -> list[Reply]:
        """Send these (type, fields) at once; the replies in the order they came."""
        self.written.clear()
        ids = [self.next_id() for _ in requests]
        self.send(b"".join(packet(kind, id, fields) for id, (kind, fields) in zip(ids, requests)))
        self.until(lambda: len(self.got()) >= len(ids))
        found = self.got()
        assert sorted(reply.id for reply in found) == ids
        return found

    def ask(self, kind: int, *fields: bytes) -> Reply:
        return self.ask_all((kind, b"".join(fields)))[0]

    def open(self, path: str, flags: int = W | CREAT | TRUNC) -> bytes:
        reply = self.ask(3, string(path), u32(flags), attrs())
        assert reply.kind == HANDLE, reply.text
        return reply.blob

    def write_at(self, handle: bytes, offset: int, data: bytes) -> Reply:
        return self.ask(6, string(handle), u64(offset), string(data))

    def close(self, handle: bytes) -> Reply:
        return self.ask(4, string(handle))

    def stat(self, path: str) -> Reply:
        return self.ask(17, string(path))

    def put(self, path: str, data: bytes, flags: int = W | CREAT | TRUNC) -> None:
        handle = self.open(path, flags)
        if data:
            assert self.write_at(handle, 0, data).code == OK
        reply = self.close(handle)
        assert reply.code == OK, reply.text

    def get(self, path: str) -> bytes:
        handle = self.open(path, R)
        data = b""
        while (reply := self.ask(5, string(handle), u64(len(data)), u32(1 << 18))).kind == 103:
            data += reply.blob
        assert self.close(handle).code == OK
        return data

    def leave(self) -> None:
        """The connection ends."""
        self.desk.run(self.session.end())
