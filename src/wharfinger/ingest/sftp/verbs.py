"""What each request of SFTP means here: the verbs of one session over its tree and its open handles."""

from __future__ import annotations

import asyncio
import io
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO, NamedTuple

from wharfinger import names
from wharfinger.errors import NameRefused, NotFound
from wharfinger.ingest.sftp import codec
from wharfinger.ingest.sftp.codec import Code
from wharfinger.ingest.sftp.handle import Listing, Reading
from wharfinger.ingest.sftp.intake import Intake
from wharfinger.ingest.sftp.tree import Tree, attributes, resolve
from wharfinger.ingest.sftp.writing import Writing
from wharfinger.ledger import MOST_MOVED, Entry

MAX_HANDLES = 256
"""Handles that one session may have open."""

_log = logging.getLogger(__name__)

_ANEW = codec.TRUNC | codec.EXCL

TREE = ""
"""The subject of what concerns more than one name: it waits for all, and all wait for it."""


class Refusal(Exception):
    """A request is answered with this code and sentence."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


class Later(NamedTuple):
    """A reply that takes its time. Requests about the same subject wait for it, others overtake it."""

    work: Coroutine[Any, Any, bytes]
    about: str | None = None  # a key, or TREE, or nothing
    size: int = 0  # bytes that it may bring


class Verbs:
    """Answers requests, at once or `Later`; whatever it raises is for the client. `release` it when the session ends."""

    def __init__(self, tree: Tree, intake: Intake, session: str) -> None:
        self._tree, self._intake, self._session = tree, intake, session
        self._namespace, self._change = intake.namespace, intake.collector.call
        self._receipts = intake.receipts(tree.user)
        self._handles: dict[bytes, Reading | Listing | Writing] = {}
        self._numbers = itertools.count(1)  # for handles: none is used twice

    def serve(self, request: codec.Request) -> bytes | Later:
        """The reply to this request. Raises Refusal, and what the rooms below raise."""
        return _VERBS[type(request)](self, request)

    def subject(self, request: Any) -> str | None:
        """The key that a request is about, or TREE; None for none."""
        kind = type(request)
        if kind in _ABOUT_THE_TREE:
            return TREE
        if kind in _ABOUT_A_NAME:
            try:
                return self._tree.find(request.path)
            except NameRefused:
                return None
        handle = self._handles.get(request.handle) if kind in _ABOUT_A_HANDLE else None
        return handle.key if isinstance(handle, Writing) else None

    async def release(self) -> None:
        """Let go of all handles. Uploads still open become partials."""
        handles, self._handles = self._handles, {}
        for handle in handles.values():
            try:
                if isinstance(handle, Writing):
                    await self._intake.abandon(handle)
                elif isinstance(handle, Reading):
                    await handle.close()
            except Exception:  # the others are let go of all the same
                _log.exception("a file that was open could not be let go of in order")

    def _init(self, _: codec.Init) -> bytes:
        return codec.version()

    def _open(self, request: codec.Open) -> bytes | Later:
        self._check_room()
        if request.flags & codec.WRITING:
            return self._open_to_write(request)
        entry = self._entry(self._tree.find(request.path))
        if entry.kind != "file":
            raise Refusal(Code.FAILURE, f"{request.path} is {_A[entry.kind]}")
        return Later(self._open_to_read(request.id, entry))

    def _open_to_write(self, request: codec.Open) -> bytes | Later:
        flags, key = request.flags, self._tree.place(request.path)
        if request.path.endswith("/"):  # a client that took it for a directory would make a file of its name
            raise NotFound(f"there is no directory {request.path}")
        self._intake.check_name(key, request.path)
        parent = key.rpartition("/")[0]
        entry, above = self._namespace.look([key, parent])
        if entry is None:
            if not flags & codec.CREAT:
                raise NotFound(f"there is no file {request.path}")
            _check_directory(above, self._tree.path(parent))
        elif entry.kind == "dir":
            raise Refusal(Code.FAILURE, f"{request.path} is a directory")
        elif flags & codec.EXCL and entry.kind == "file":
            raise Refusal(Code.FAILURE, f"{request.path} exists already")
        if entry and entry.kind == "file" and not flags & _ANEW:
            return Later(self._begin_over(request, key, entry), about=key)
        return self._begin(request, key, entry)

    async def _begin_over(self, request: codec.Open, key: str, entry: Entry) -> bytes:
        base = await self._intake.aside(self._intake.open_object, entry)
        try:
            return self._begin(request, key, entry, base)
        except Exception:
            base.close()
            raise

    def _begin(self, request: codec.Open, key: str, entry: Entry | None, base: BinaryIO | None = None) -> bytes:
        writing = self._intake.begin(
            key,
            entry,
            user=self._tree.user,
            session=self._session,
            truncate=bool(request.flags & _ANEW),
            append=bool(request.flags & codec.APPEND),
            base=base,
        )
        return codec.handle(request.id, self._hold(writing))

    async def _open_to_read(self, id: int, entry: Entry) -> bytes:
        if self._receipts.covers(entry.path):
            receipt = await self._intake.aside(self._receipts.read, entry.path)
            reading = Reading(replace(entry, size=len(receipt)), io.BytesIO(receipt), self._intake.aside)
        else:
            reading = Reading(entry, await self._intake.aside(self._intake.open_object, entry), self._intake.aside)
        return codec.handle(id, self._hold(reading))

    def _check_room(self) -> None:
        if len(self._handles) >= MAX_HANDLES:
            raise Refusal(Code.FAILURE, f"a session may have {MAX_HANDLES} files and directories open")

    def _hold(self, handle: Reading | Listing | Writing) -> bytes:
        name = b"%d" % next(self._numbers)
        self._handles[name] = handle
        return name

    def _close(self, request: codec.Close) -> bytes | Later:
        handle = self._held(request.handle)
        del self._handles[request.handle]
        if isinstance(handle, Writing):
            return Later(_done(request.id, self._intake.finish(handle)), about=handle.key)
        if isinstance(handle, Reading):
            return Later(_done(request.id, handle.close()))
        return codec.status(request.id, Code.OK)

    def _read(self, request: codec.Read) -> Later:
        handle = self._held(request.handle)
        length = min(request.length, codec.MAX_DATA)
        if isinstance(handle, Listing):
            raise Refusal(Code.FAILURE, "this handle is a directory's")
        about = handle.key if isinstance(handle, Writing) else None
        return Later(self._data(request.id, handle, request.offset, length), about, length)

    async def _data(self, id: int, handle: Reading | Writing, offset: int, length: int) -> bytes:
        if isinstance(handle, Writing):
            data = await self._intake.aside(handle.staged.read, offset, length)
        else:
            data = await handle.read(offset, length)
        return codec.data(id, data) if data or not length else codec.status(id, Code.EOF)

    def _write(self, request: codec.Write) -> bytes | Later:
        writing = self._held_to_write(request.handle)
        writing.write(request.offset, request.data)
        if backlog := writing.staged.backlog:
            return Later(_done(request.id, _ended(backlog)), about=writing.key)
        return codec.status(request.id, Code.OK)

    def _fsync(self, request: codec.Fsync) -> Later:
        writing = self._held_to_write(request.handle)
        return Later(_done(request.id, self._intake.sync(writing)), about=writing.key)

    def _stat(self, request: codec.Stat) -> bytes:
        return codec.attrs(request.id, attributes(self._entry(self._tree.find(request.path))))

    def _fstat(self, request: codec.Fstat) -> bytes:
        handle = self._held(request.handle)
        return codec.attrs(request.id, attributes(_unfinished(handle) if isinstance(handle, Writing) else handle.entry))

    def _setstat(self, request: codec.Setstat) -> bytes | Later:
        entry = self._entry(self._tree.find(request.path))
        if entry.is_fixed:
            raise Refusal(Code.FAILURE, "what the server makes keeps its time and size")
        wanted = request.attrs
        if wanted.size not in (None, entry.size):
            raise Refusal(Code.OP_UNSUPPORTED, "a file that has arrived keeps its size; send it again instead")
        if wanted.mtime is None or entry.kind == "partial" or wanted.mtime == int(entry.mtime):
            return codec.status(request.id, Code.OK)
        touched = self._change(partial(self._namespace.touch, entry.path, float(wanted.mtime)))
        return Later(_done(request.id, touched), about=entry.path)

    def _fsetstat(self, request: codec.Fsetstat) -> bytes:
        handle, wanted = self._held(request.handle), request.attrs
        if isinstance(handle, Writing):
            if wanted.size is not None:
                handle.truncate(wanted.size)
            if wanted.mtime is not None:
                handle.mtime = float(wanted.mtime)
        elif wanted.size not in (None, handle.entry.size):
            raise Refusal(Code.PERMISSION_DENIED, "this handle was not opened for writing")
        return codec.status(request.id, Code.OK)

    def _opendir(self, request: codec.Opendir) -> bytes:
        entry = self._entry(self._tree.find(request.path))
        if entry.kind != "dir":
            raise Refusal(Code.FAILURE, f"{request.path} is no directory")
        self._check_room()
        are_receipts = self._receipts.lists(entry.path)
        return codec.handle(request.id, self._hold(Listing(entry, self._receipts if are_receipts else self._namespace)))

    def _readdir(self, request: codec.Readdir) -> bytes | Later:
        listing = self._held(request.handle)
        if not isinstance(listing, Listing):
            raise Refusal(Code.FAILURE, "this handle is a file's")
        if self._receipts.lists(listing.entry.path):
            return Later(self._page_aside(request.id, listing))
        return self._lines(request.id, listing.page())

    async def _page_aside(self, id: int, listing: Listing) -> bytes:
        async with listing.turn:
            return self._lines(id, await self._intake.aside(listing.page))

    def _lines(self, id: int, entries: Sequence[Entry]) -> bytes:
        now = time.time()
        lines = [self._tree.line(entry, now) for entry in entries]
        return codec.names(id, lines) if lines else codec.status(id, Code.EOF)

    def _mkdir(self, request: codec.Mkdir) -> Later:
        key = self._tree.place(request.path)
        parent = key.rpartition("/")[0]
        entry, above = self._namespace.look([key, parent])
        if entry is not None:
            raise Refusal(Code.FAILURE, f"{request.path} exists already")
        _check_directory(above, self._tree.path(parent))
        # lftp makes a/b while a is being made
        return Later(self._make(request, Entry(key, "dir", mtime=time.time())), about=TREE)

    async def _make(self, request: codec.Mkdir, entry: Entry) -> bytes:
        if not (await self._change(lambda: self._namespace.make([entry])))[0]:
            raise Refusal(Code.FAILURE, f"{request.path} exists already")
        return codec.status(request.id, Code.OK)

    def _remove(self, request: codec.Remove) -> Later:
        entry = self._entry(self._tree.own(request.path))
        if entry.kind == "dir":
            raise Refusal(Code.FAILURE, f"{request.path} is a directory")
        return Later(self._take_out(request, entry), about=entry.path)

    def _rmdir(self, request: codec.Rmdir) -> Later:
        entry = self._entry(self._tree.own(request.path))
        if entry.kind != "dir":
            raise Refusal(Code.FAILURE, f"{request.path} is no directory")
        self._check_still(entry.path, request.path)
        return Later(self._take_out(request, entry), about=TREE)

    async def _take_out(self, request: codec.Remove | codec.Rmdir, entry: Entry) -> bytes:
        outcome = await self._change(lambda: self._namespace.remove(entry.path))
        if outcome == "missing":
            raise NotFound(f"there is no {request.path}")
        if outcome == "not_empty":
            raise Refusal(Code.FAILURE, f"{request.path} is not empty")
        if entry.staged:
            await self._intake.aside(self._intake.drop, entry.staged)
        return codec.status(request.id, Code.OK)

    def _rename(self, request: codec.Rename | codec.PosixRename) -> Later:
        old, new = self._tree.own(request.old), self._tree.own(request.new)
        if self._intake.find(old):
            raise Refusal(Code.FAILURE, f"{request.old} is still being uploaded")
        if new.startswith(f"{old}/"):
            raise Refusal(Code.FAILURE, f"{request.old} cannot be moved into itself")
        self._check_still(old, request.old)
        self._intake.check_name(new, request.new)
        return Later(self._move(request, old, new), about=TREE)

    def _check_still(self, directory: str, path: str) -> None:
        """Else what is uploaded would make the directory anew at its CLOSE, though the name may be a file's by then."""
        if self._intake.is_writing_below(directory):
            raise Refusal(Code.FAILURE, f"a file is still being uploaded into {path}; wait for its end")

    async def _move(self, request: codec.Rename | codec.PosixRename, old: str, new: str) -> bytes:
        replace = isinstance(request, codec.PosixRename)
        outcome = await self._change(lambda: self._namespace.rename(old, new, replace=replace))
        if outcome == "missing":
            raise NotFound(f"there is no {request.old}")
        if outcome == "no_parent":
            raise NotFound(f"there is no directory for {request.new}")
        if outcome == "taken":
            raise Refusal(Code.FAILURE, f"{request.new} exists already")
        if outcome == "too_many":
            why = f"{request.old} has more than {MOST_MOVED:,} names below it"
            raise Refusal(Code.FAILURE, f"{why}, which is too much for one rename; move what is in it in parts")
        return codec.status(request.id, Code.OK)

    def _realpath(self, request: codec.Realpath) -> bytes:
        path = resolve(request.path)
        return codec.names(request.id, [codec.Name(path, path, codec.NO_ATTRIBUTES)])

    def _statvfs(self, request: codec.Statvfs) -> bytes:
        space = self._intake.space()
        free = space.f_bavail
        return codec.extended(
            request.id,
            *(space.f_bsize, space.f_frsize, space.f_blocks, free, free),
            *(space.f_files, space.f_favail, space.f_favail, 0, 0, names.PART),
        )

    def _limits(self, request: codec.Limits) -> bytes:
        return codec.extended(request.id, codec.MAX_PACKET, codec.MAX_DATA, codec.MAX_DATA, MAX_HANDLES)

    def _link(self, request: codec.Link) -> bytes:
        return codec.status(request.id, Code.OP_UNSUPPORTED, "there are no links here")

    def _unsupported(self, request: codec.Unsupported) -> bytes:
        return codec.status(request.id, Code.OP_UNSUPPORTED, f"{request.what} is not served")

    def _malformed(self, request: codec.Malformed) -> bytes:
        return codec.status(request.id, Code.BAD_MESSAGE, "the packet ends before its fields do")

    def _held(self, name: bytes) -> Reading | Listing | Writing:
        handle = self._handles.get(name)
        if handle is None:
            raise Refusal(Code.FAILURE, "no such handle is open")
        return handle

    def _held_to_write(self, name: bytes) -> Writing:
        handle = self._held(name)
        if not isinstance(handle, Writing):
            raise Refusal(Code.PERMISSION_DENIED, "this handle was not opened for writing")
        return handle

    def _entry(self, key: str) -> Entry:
        """What the client sees under `key`: a receipt, its own open upload, or what the tree has. Raises NotFound."""
        entry = self._receipts.look(key) if self._receipts.covers(key) else self._namespace.look([key])[0]
        if entry is None or entry.kind == "partial":
            writing = self._intake.find(key)
            if writing and writing.session == self._session:
                return _unfinished(writing)
        if entry is None:
            raise NotFound(f"there is no {self._tree.path(key)}")
        return entry


async def _done(id: int, work: Awaitable[object]) -> bytes:
    await work
    return codec.status(id, Code.OK)


async def _ended(job: Future[Any]) -> None:
    """Return when it has ended, well or not: of an error the next request on the file is told."""
    with suppress(OSError):
        await asyncio.shield(asyncio.wrap_future(job))


def _unfinished(writing: Writing) -> Entry:
    return Entry(writing.key, "partial", size=writing.size, mtime=writing.mtime or time.time())


def _check_directory(entry: Entry | None, path: str) -> None:
    if entry is None:
        raise NotFound(f"there is no directory {path}")
    if entry.kind != "dir":
        raise Refusal(Code.FAILURE, f"{path} is no directory")


_A = {"dir": "a directory", "partial": "an upload that is not finished"}

_ABOUT_THE_TREE = frozenset({codec.Rename, codec.PosixRename, codec.Rmdir, codec.Opendir})
_ABOUT_A_NAME = frozenset({codec.Open, codec.Stat, codec.Setstat, codec.Remove, codec.Mkdir})
_ABOUT_A_HANDLE = frozenset({codec.Close, codec.Read, codec.Write, codec.Fstat, codec.Fsetstat, codec.Fsync})

_VERBS: Mapping[type, Callable[[Verbs, Any], bytes | Later]] = {
    codec.Init: Verbs._init,
    codec.Open: Verbs._open,
    codec.Close: Verbs._close,
    codec.Read: Verbs._read,
    codec.Write: Verbs._write,
    codec.Stat: Verbs._stat,
    codec.Fstat: Verbs._fstat,
    codec.Setstat: Verbs._setstat,
    codec.Fsetstat: Verbs._fsetstat,
    codec.Opendir: Verbs._opendir,
    codec.Readdir: Verbs._readdir,
    codec.Remove: Verbs._remove,
    codec.Mkdir: Verbs._mkdir,
    codec.Rmdir: Verbs._rmdir,
    codec.Realpath: Verbs._realpath,
    codec.Rename: Verbs._rename,
    codec.PosixRename: Verbs._rename,
    codec.Link: Verbs._link,
    codec.Statvfs: Verbs._statvfs,
    codec.Fsync: Verbs._fsync,
    codec.Limits: Verbs._limits,
    codec.Unsupported: Verbs._unsupported,
    codec.Malformed: Verbs._malformed,
}
