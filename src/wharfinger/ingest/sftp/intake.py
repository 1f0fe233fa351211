"""Where uploads begin and end: staged bytes in, arrivals or partials out. One for a process."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import BinaryIO, TypeVar

from wharfinger.errors import NoSpace, NotFound, StoreError
from wharfinger.ingest import Upload
from wharfinger.ingest.name import RECEIPTS, homes, refuse_receipt
from wharfinger.ingest.sftp.collector import Collector
from wharfinger.ingest.sftp.handle import custody
from wharfinger.ingest.sftp.receipts import Receipts
from wharfinger.ingest.sftp.writing import Writing
from wharfinger.ledger import Database, Entry, User
from wharfinger.ledger.keyring import Keyring
from wharfinger.names import nfc
from wharfinger.store import Store, disk
from wharfinger.store.staging import LARGE, Staged, Staging

T = TypeVar("T")

_log = logging.getLogger(__name__)

FINISHERS = 2
"""Threads that hash, sync and send large uploads at their CLOSE, so that no download waits behind them."""

HOMES_S = 2.0
"""Seconds for which the homes of all users are remembered: names may have a folder that is called as the receipts are, and many."""


class Intake:
    """
    Uploads from the first byte to the arrival.

    One that ends without a CLOSE becomes a partial: a row in the tree that names its staged bytes, so that the same user can
    resume it under the same name. The row is written only if nothing arrived under the name meanwhile.
    """

    def __init__(
        self,
        *,
        store: Store,
        staging: Staging,
        database: Database,
        keyring: Keyring,
        collector: Collector,
        pool: Executor,
        prepare: Callable[[Upload], Upload],
        min_free: int,
        weight: Callable[[str], float],
        version: Callable[[], str],
    ) -> None:
        self.namespace = database.namespace
        self.collector = collector
        self._store, self._staging, self._catalog, self._keyring = store, staging, database.catalog, keyring
        self._accounts = database.accounts
        self._homes: tuple[float, frozenset[str]] = (-HOMES_S, frozenset())  # since when (monotonic), and which
        self._pool = pool
        self._prepare = prepare
        self._finishers = ThreadPoolExecutor(FINISHERS, thread_name_prefix="sftp-finish")
        self.min_free = min_free  # bytes
        self._weight, self._version = weight, version
        self._open: dict[Writing, None] = {}  # as a set that keeps its order
        self._latest: dict[str, Writing] = {}  # by key

    def __iter__(self) -> Iterator[Writing]:
        """The open uploads, oldest first."""
        return iter(list(self._open))

    async def furnish(self, directories: Sequence[str]) -> None:
        """See that these directories are in the tree."""
        found = self.namespace.look(directories)
        if missing := [
            Entry(path, "dir", mtime=time.time()) for path, entry in zip(directories, found) if entry is None
        ]:
            await self.collector.call(lambda: self.namespace.make(missing))

    def receipts(self, user: User) -> Receipts:
        """The receipts of this user's files."""
        return Receipts(user, self._catalog, self._keyring)

    async def close(self) -> None:
        """Commit what was submitted and end the threads."""
        await self.collector.close()
        self._pool.shutdown()
        self._finishers.shutdown()

    def find(self, key: str) -> Writing | None:
        """The latest open upload under this name."""
        return self._latest.get(key)

    def check_name(self, key: str, called: str) -> None:
        """Raises NameRefused where `key`, which the client calls so, would be hidden by the receipts of anybody's home."""
        if RECEIPTS not in key.split("/"):
            return
        now = time.monotonic()
        if now - self._homes[0] >= HOMES_S:
            self._homes = now, homes(self._accounts)
        refuse_receipt(key, self._homes[1], called)

    def is_writing_below(self, directory: str) -> bool:
        """Whether an upload below this directory is open."""
        below = f"{nfc(directory)}/"
        return any(nfc(writing.key).startswith(below) for writing in self._open)

    async def aside(self, work: Callable[..., T], *args: object) -> T:
        """Run what may wait for the disk in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)

    def begin(
        self,
        key: str,
        entry: Entry | None,
        *,
        user: User,
        session: str,
        truncate: bool,
        append: bool,
        base: BinaryIO | None = None,
    ) -> Writing:
        """
        Open `key` for writing; `entry` is what the tree has under it. Without `truncate` a file's bytes, which `base` has, count until
        they are overwritten, and a partial of the same user goes on where it was cut off. Raises NoSpace and other StoreErrors.
        """
        self.reserve(0)
        resumes = entry is not None and not truncate
        staged = self._staging.create(base) if base else self._stage(entry if resumes else None, user)
        writing = Writing(
            key,
            staged,
            entry,
            user=user,
            session=session,
            resumes=resumes,
            append=append,
            reserve=self.reserve,
            write_back=lambda fd: self._pool.submit(disk.start_writing, fd),
        )
        self._open[writing] = None
        self._latest[key] = writing
        return writing

    async def finish(self, writing: Writing) -> None:
        """
        The client's CLOSE: when this returns the file is in custody, or the tree still shows what it was opened on, with the
        very same bytes. Raises what stands against it; what can be resumed is then kept as a partial.
        """
        writing.is_over = True
        try:
            writing.check()
            if upload := await self._news(writing):
                await self.collector.land(upload)
                await self._supersede(writing)
            else:
                await self._discard(writing)
                await self._touch(writing)
        except Exception:
            try:
                await self.abandon(writing)
            except Exception:  # the client is told what came first
                _log.exception("an upload that could not be completed could not be kept for a resume either")
            raise
        self._forget(writing)

    async def abandon(self, writing: Writing) -> None:
        """The upload ended otherwise: keep what can be resumed as a partial, drop the rest."""
        writing.is_over = True
        try:
            if os.access(writing.staged.path, os.F_OK):
                await self._keep(writing)
            else:  # it failed after the store had taken it
                await self._discard(writing)
        finally:
            self._forget(writing)

    async def mark(self, writings: list[Writing]) -> None:
        """Tell the tree of these open uploads, so that they can be resumed should this process die."""
        await self.collector.call(lambda: self._record([w for w in writings if not w.is_over]))
        for writing in writings:
            writing.is_marked = True

    async def sync(self, writing: Writing) -> None:
        """Make the bytes so far durable. Raises StoreError."""
        try:
            await self.aside(writing.staged.sync)
        except StoreError as error:
            writing.fail(error)
            raise

    def open_object(self, entry: Entry) -> BinaryIO:
        """The bytes of the version that the tree shows. Raises NotFound where the ledger has it no more, and StoreErrors."""
        record = self._catalog.file(entry.file_id)
        if record is None:
            raise NotFound(f"the ledger has no file {entry.file_id}")
        with custody(entry):
            return self._store.open(record.ref)

    def reserve(self, size: int) -> None:
        """Raises NoSpace where `size` more bytes would leave less room on the disk than must stay free."""
        space = self.space()
        if space.f_bavail * space.f_frsize - size < self.min_free:
            raise NoSpace("the server has no room for uploads at the moment", fix="try again later")

    def space(self) -> os.statvfs_result:
        """The filesystem that uploads go to."""
        return os.statvfs(self._store.staging)

    def drop(self, staged: str) -> None:
        """Remove staged bytes, unless somebody is writing them."""
        try:
            self._staging.resume(staged).close()
        except StoreError:
            return
        self._staging.discard(staged)

    def _stage(self, entry: Entry | None, user: User) -> Staged:
        if entry is None or (entry.kind == "partial" and entry.user != user.name):
            return self._staging.create()
        try:
            return self._staging.resume(entry.staged)
        except StoreError:  # gone, or another session is still writing it
            return self._staging.create()

    async def _news(self, writing: Writing) -> Upload | None:
        """What is to land; None if nothing changed, neither in the file nor under its name since it was opened."""
        base = _base(writing)
        if base and not writing.changed and await self._shows(base):
            return None
        upload = await self._complete(writing)
        return None if base and base.sha256 == upload.sha256 and await self._shows(base) else upload

    async def _shows(self, base: Entry) -> bool:
        """Whether the tree has this version under its name, once all is done that the collector has begun."""
        return await self.collector.call(lambda: _version(self.namespace.look([base.path])[0]) == base.version)

    async def _complete(self, writing: Writing) -> Upload:
        """A large one is made durable and sent before it joins a group, so that nobody waits behind it."""
        if writing.staged.size <= LARGE:
            return self._upload(writing, *writing.staged.finish())
        return await asyncio.get_running_loop().run_in_executor(self._finishers, self._finish_large, writing)

    def _finish_large(self, writing: Writing) -> Upload:
        finished = writing.staged.finish()
        writing.staged.sync()
        return self._prepare(self._upload(writing, *finished))

    def _upload(self, writing: Writing, size: int, sha256: str) -> Upload:
        return Upload(
            path=writing.staged.path,
            key=writing.key,
            version=self._version(),
            size=size,
            sha256=sha256,
            customer=writing.user.customer,
            weight=self._weight(writing.user.customer),
            source="sftp",
            user=writing.user.name,
            session=writing.session,
            mtime=writing.mtime,
            fd=writing.staged.fd,
        )

    async def _keep(self, writing: Writing) -> None:
        try:
            size = await self.aside(writing.staged.park)
        except StoreError:  # then nothing of it can be trusted
            size = 0
        if not size or not await self.collector.call(lambda: self._record([writing])):
            await self._discard(writing)

    async def _discard(self, writing: Writing) -> None:
        self._staging.discard(writing.staged.id)
        if writing.is_marked or (writing.before and writing.before.staged == writing.staged.id):
            await self.collector.call(lambda: self._erase(writing))

    async def _touch(self, writing: Writing) -> None:
        """Of a file whose bytes did not change its time may."""
        if (mtime := writing.mtime) is not None:
            await self.collector.call(lambda: self.namespace.touch(writing.key, mtime))

    async def _supersede(self, writing: Writing) -> None:
        """The partial that was under the name is of no use any more, unless it was the beginning of this very file."""
        if writing.before and writing.before.staged not in ("", writing.staged.id):
            await self.aside(self.drop, writing.before.staged)

    def _forget(self, writing: Writing) -> None:
        writing.staged.close()
        self._open.pop(writing, None)
        if self._latest.get(writing.key) is writing:
            del self._latest[writing.key]

    def _record(self, writings: list[Writing]) -> int:
        """Write the partials' rows, but for names under which something arrived since the upload began. How many it wrote."""
        now = self.namespace.look([w.key for w in writings])
        rows = [_partial(w) for w, entry in zip(writings, now) if _version(entry) == _version(w.before)]
        return sum(self.namespace.make(rows))

    def _erase(self, writing: Writing) -> None:
        """Remove the row that names these staged bytes, if it is there."""
        entry = self.namespace.look([writing.key])[0]
        if entry and entry.staged == writing.staged.id:
            self.namespace.remove(writing.key)


def _base(writing: Writing) -> Entry | None:
    """The file that was opened without TRUNC, if one was."""
    return writing.before if writing.resumes and writing.before and writing.before.kind == "file" else None


def _version(entry: Entry | None) -> str:
    return entry.version if entry else ""


def _partial(writing: Writing) -> Entry:
    return Entry(
        path=writing.key,
        kind="partial",
        size=writing.size,
        mtime=time.time(),
        version=_version(writing.before),
        staged=writing.staged.id,
        user=writing.user.name,
    )
