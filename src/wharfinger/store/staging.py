"""
Files in the making: written in any order, hashed on the way, then put into the store or set aside for a later resume.

What may be resumed is what surely holds the sender's bytes without a gap:

* of a file that was set aside (`park`): as many bytes as `ID.sure` says; they are durable;
* of one whose writer died: all of it, if it was written in order (the first write or truncate that leaves a hole makes
  `ID.sure`, saying 0) and the machine has not restarted since (ids end with a word for its boot), so that the kernel still
  has every byte;
* of any other: nothing, and the sender begins anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from wharfinger.errors import NotFound, StoreError
from wharfinger.store import disk
from wharfinger.store.behind import Behind, Scribes
from wharfinger.store.extents import Extents
from wharfinger.store.versions import Versions

LARGE = 1 << 20
"""Bytes. What continues a file beyond them, in order, is written and hashed by threads."""

_NEAR = 1 << 20  # bytes that one write may read back for the hash; where there are more, `finish` does it
MAX_HOLES = 1 << 30
"""Bytes of a whole file that nobody sent: each of them is hashed like any other, and costs its sender nothing."""

_CHANGED = -1  # of `hashed`: bytes under the hash were overwritten; all is read again at the end


class Staged:
    """
    One file in the making, for one thread at a time. Nothing is durable before `Store.put` or `park` has returned. The verbs
    raise StoreError (NoSpace where the disk is full); a write that failed counts as not written. Of a large file it may be a later
    verb that raises what a write met: the file then ends before it.
    """

    __slots__ = (
        "_base", "_base_size", "_behind", "_given", "_hash", "_hashed", "_scribes", "_sure", "_written", "fd", "id", "path", "size",
    )  # fmt: skip

    def __init__(self, path: str, fd: int, scribes: Scribes, *, size: int = 0, sure: int | None = None) -> None:
        self.id = os.path.basename(path)
        self.path = path
        self.fd = fd  # for Put.fd
        self.size = size  # bytes
        self._sure = sure  # what ID.sure says; None where it is not there
        self._written = Extents()  # by the sender
        self._written.add(0, size)
        self._given = Extents()  # no gaps either: zeros that an extension made, bytes of an older version
        self._hash, self._hashed = hashlib.sha256(), 0  # covers the first `hashed` bytes
        self._base: BinaryIO | None = None  # the older version, while its bytes are not copied yet
        self._base_size = 0
        self._scribes = scribes
        self._behind: Behind | None = None  # while threads write what continues the file

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write `data` at `offset` (bytes), in any order, over anything."""
        end = offset + len(data)
        if offset == end:
            return
        if LARGE <= offset == self.size == self._written.reach and self._continue(data):
            return
        self.settle()
        if offset > self.size:
            self._doubt()
        self._write_at(offset, data)
        self._written.add(offset, end)
        if offset == self._hashed:
            self._hash.update(data)
            self._hashed = end
        elif offset < self._hashed:
            self._hashed = _CHANGED
        if end > self.size:
            self.size = end
        if _CHANGED < self._hashed < self._written.reach <= self._hashed + _NEAR:
            self._hash_on(self._written.reach)

    @property
    def backlog(self) -> Future[memoryview] | None:
        """What the sender should wait for before it writes on, if the disk is slower than the sender."""
        return self._behind.backlog if self._behind else None

    def settle(self) -> None:
        """Wait until the file has all that was written: its other verbs do so by themselves, who uses `fd` does not."""
        behind, self._behind = self._behind, None
        if behind is None:
            return
        try:
            behind.settle()
        except OSError as exc:
            raise self._fail(behind, exc) from exc

    def sync(self) -> None:
        """
        Make what was written durable. Where that fails nothing of it counts any more: the kernel may have dropped its bytes, and a
        second sync would not tell (lwn.net/Articles/752063).
        """
        self.settle()
        try:
            disk.sync(self.fd)
        except OSError as exc:
            self._written.cut(0)
            self._given.cut(0)
            self._hashed = _CHANGED
            with suppress(StoreError):
                self._mark(0)
            raise disk.refusal(exc, f"staged file {self.id} could not be made durable") from exc

    def truncate(self, size: int) -> None:
        """Cut or extend to `size` bytes; what an extension adds counts as zeros."""
        self.settle()
        if size > self.size:
            self._doubt()
        if self._sure is not None and self._sure > size:
            self._mark(size)
        try:
            os.ftruncate(self.fd, size)
        except (OSError, OverflowError) as exc:
            raise _refusal(exc, f"staged file {self.id} could not be made {size} bytes long") from exc
        self._given.add(self.size, size)
        self._written.cut(size)
        self._given.cut(size)
        self._base_size = min(self._base_size, size)
        if size < self._hashed:
            self._hash, self._hashed = hashlib.sha256(), 0 if size == 0 else _CHANGED
        self.size = size

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`; fewer at the end, zeros in gaps."""
        self.settle()
        self._fill()
        return self._read_at(offset, count)

    def gaps(self) -> list[tuple[int, int]]:
        """The intervals [start, end) below `size` that nobody gave bytes for: a file that has any is not complete."""
        return [gap for start, end in self._written.gaps(self.size) for gap in self._given.gaps(end, start)]

    def finish(self) -> tuple[int, str]:
        """
        The whole file's size and SHA-256 (hex). At once for a file that was written in order; else the rest is read back, so a
        large one is better finished in a thread. It may be written and finished again. Raises StoreError if there are gaps.
        """
        self.settle()
        self._fill()
        if gaps := self.gaps():
            raise StoreError(
                f"staged file {self.id} has no bytes for {gaps[0][0]} to {gaps[0][1]}",
                code="INCOMPLETE",
                fix="send it again",
            )
        if sum(end - start for start, end in self._written.gaps(self.size, self._base_size)) > MAX_HOLES:
            raise StoreError(
                f"staged file {self.id} has more than {MAX_HOLES} bytes that were not sent",
                code="INCOMPLETE",
                fix="send it whole",
            )
        if self._hashed == _CHANGED:
            self._hash, self._hashed = hashlib.sha256(), 0
        self._hash_on(self.size)
        if self._sure is not None:
            disk.discard([_sure_path(self.path)])
            self._sure = None
        return self.size, self._hash.hexdigest()

    def park(self) -> int:
        """
        Set the file aside for a later `resume`, and close it: cut to what its sender wrote without a gap, durably. Answers how
        many bytes that is. If it raises, the sender will have to begin anew.
        """
        try:
            with suppress(StoreError):  # the file then ends before what could not be written
                self.settle()
            self.truncate(self._written.reach)
            disk.sync(self.fd)
            self._mark(self.size)
        except OSError as exc:
            with suppress(StoreError):
                self._mark(0)
            raise disk.refusal(exc, f"staged file {self.id} could not be set aside") from exc
        finally:
            self.close()
        return self.size

    def close(self) -> None:
        """Close the descriptors; the file stays. May be repeated."""
        with suppress(StoreError):
            self.settle()
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
        self._drop_base()

    def _continue(self, data: bytes | bytearray | memoryview) -> bool:
        """Let threads write what comes next; False if they are busy with other files, or the hash must begin anew."""
        if self._behind is None and self._hashed != _CHANGED:
            self._behind = self._scribes.begin(self.fd, self.size, self._hash, self._hashed)
        if self._behind is None:
            return False
        behind, end = self._behind, self.size + len(data)
        self._written.add(self.size, end)
        self.size = self._hashed = end
        try:
            behind.add(data)
        except OSError as exc:
            raise self._fail(behind, exc) from exc
        return True

    def _fail(self, behind: Behind, exc: OSError) -> StoreError:
        """The disk refused: let the file end where it came to."""
        self._behind = None
        behind.settle()  # what was to follow is passed over
        self.size, self._hashed = behind.done, behind.hashed
        self._written.cut(self.size)
        self._given.cut(self.size)
        with suppress(OSError):
            os.ftruncate(self.fd, self.size)
        return _refusal(exc, f"staged file {self.id} could not be written at byte {self.size}")

    def _show(self, base: BinaryIO) -> None:
        """Start from an older version: its bytes count wherever nothing else is written."""
        self._base, size = base, base.seek(0, os.SEEK_END)
        self._base_size = self.size = size
        self._given.add(0, size)

    def _fill(self) -> None:
        """Copy what still shows of the older version: not before it is asked for, since most senders overwrite all of it."""
        if self._base is None:
            return
        try:
            for start, end in self._written.gaps(self._base_size):
                disk.fill(self._base, self.fd, start, end)
        except OSError as exc:
            raise _refusal(exc, f"staged file {self.id} could not be filled from the older version") from exc
        self._drop_base()

    def _drop_base(self) -> None:
        _close(self._base)
        self._base = None

    def _write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        try:
            done = os.pwrite(self.fd, data, offset)
            while done < len(data):
                done += os.pwrite(self.fd, memoryview(data)[done:], offset + done)
        except (OSError, OverflowError) as exc:
            raise _refusal(exc, f"staged file {self.id} could not be written at byte {offset}") from exc

    def _read_at(self, offset: int, count: int) -> bytes:
        try:
            return os.pread(self.fd, count, offset)
        except (OSError, OverflowError) as exc:
            raise _refusal(exc, f"staged file {self.id} could not be read at byte {offset}") from exc

    def _hash_on(self, end: int) -> None:
        while self._hashed < end:
            piece = self._read_at(self._hashed, min(disk.PIECE, end - self._hashed))
            if not piece:
                raise StoreError(
                    f"staged file {self.id} ends at {self._hashed} of {self.size} bytes", fix="send it again"
                )
            self._hash.update(piece)
            self._hashed += len(piece)

    def _doubt(self) -> None:
        """A hole is about to be made: should this process die, the file's length says nothing about its bytes."""
        if self._sure is None:
            self._mark(0)

    def _mark(self, sure: int) -> None:
        """Write ID.sure; durably, unless it only takes trust away from a file that has no trust after a restart."""
        path = _sure_path(self.path)
        try:
            with open(f"{path}~", "w") as file:
                file.write(str(sure))
                if sure or self._sure:
                    file.flush()
                    disk.sync(file.fileno())
            os.replace(f"{path}~", path)
            if sure or self._sure:
                disk.sync_directory(os.path.dirname(path))
        except OSError as exc:
            raise disk.refusal(exc, f"{path} could not be written") from exc
        self._sure = sure


class Staging:
    """The directory of files in the making. Several processes may use it at once; an id is good in all of them."""

    def __init__(self, root: Path | str, clock: Callable[[], float] = time.time) -> None:
        self._root = str(root)
        self._fresh_name = Versions(clock)
        self._boot = _boot()
        self._scribes = Scribes()

    def create(self, base: BinaryIO | None = None) -> Staged:
        """
        A new file: empty, or starting with the bytes of `base` (an object that the store opened; it is closed with the file), which
        are copied only where nothing was written by the time they are needed.
        """
        path = f"{self._root}/{self._fresh_name()}-{self._boot if base is None else ''}"
        try:
            staged = Staged(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), self._scribes)
        except OSError as exc:
            _close(base)
            raise disk.refusal(exc, f"no file could be made in {self._root}") from exc
        try:
            fcntl.flock(staged.fd, fcntl.LOCK_EX)
            if base is not None:
                staged._show(base)
        except OSError as exc:
            staged.close()
            disk.discard([path])
            _close(base)
            raise disk.refusal(exc, f"no file could be made in {self._root}") from exc
        return staged

    def resume(self, id: str) -> Staged:
        """
        A file again that was set aside, or whose writer died; its `size` says from where the sender may go on. Raises NotFound,
        or StoreError with the code IN_USE while another session writes it.
        """
        path = self._path(id)
        try:
            fd = os.open(path, os.O_RDWR)
        except FileNotFoundError as exc:
            raise NotFound(f"there is no staged file {id}", fix="send the file from its beginning") from exc
        except OSError as exc:
            raise disk.refusal(exc, f"staged file {id} could not be opened") from exc
        try:
            self._lock(id, fd)
            sure = _read_sure(path)
            size = self._trusted(id, fd, sure)
            os.ftruncate(fd, size)
            return Staged(path, fd, self._scribes, size=size, sure=sure)
        except BaseException:
            os.close(fd)
            raise

    def discard(self, id: str) -> None:
        """Remove a staged file; one that is not there is no error."""
        path = self._path(id)
        try:
            disk.remove([path, _sure_path(path)])
        except OSError as exc:
            raise disk.refusal(exc, f"staged file {id} could not be removed") from exc

    def ids(self) -> list[str]:
        """The ids of all staged files, oldest first: in the making, set aside, or left by a crash."""
        try:
            return sorted(name for name in os.listdir(self._root) if "." not in name)
        except OSError as exc:
            raise disk.refusal(exc, f"{self._root} could not be listed") from exc

    def _path(self, id: str) -> str:
        if "/" in id or "." in id or not id:
            raise NotFound(f"{id!r} is no id of a staged file")
        return f"{self._root}/{id}"

    def _lock(self, id: str, fd: int) -> None:
        """Be the only writer, and of a file that did not become an object meanwhile: objects never change."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise StoreError(
                f"staged file {id} is being written by another session",
                code="IN_USE",
                fix="end that session, or send anew",
            ) from exc
        if disk.inode(self._path(id)) != os.fstat(fd).st_ino:
            raise NotFound(f"there is no staged file {id} any more", fix="send the file from its beginning")

    def _trusted(self, id: str, fd: int, sure: int | None) -> int:
        """How many bytes from the beginning surely are the sender's (see above)."""
        there = os.fstat(fd).st_size
        if sure is not None:
            return min(sure, there)
        return there if self._boot and id.endswith(f"-{self._boot}") else 0


def _close(base: BinaryIO | None) -> None:
    if base is not None:
        base.close()


def _boot() -> str:
    """A word that changes when the machine restarts; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return ""


def _sure_path(path: str) -> str:
    return f"{path}.sure"


def _read_sure(path: str) -> int | None:
    try:
        return int(Path(_sure_path(path)).read_text() or 0)
    except FileNotFoundError:
        return None


def _refusal(exc: OSError | OverflowError, doing: str) -> StoreError:
    return disk.refusal(exc, doing) if isinstance(exc, OSError) else StoreError(f"{doing}: beyond what a file can hold")
