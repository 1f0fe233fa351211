"""What is asked of the disk: sync many files at once, sync directories, keep a secret, move without replacing, copy ranges."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import BinaryIO, TypeVar

from wharfinger.errors import Corrupt, NoSpace, StoreError
from wharfinger.model import ObjectRef

T = TypeVar("T")
R = TypeVar("R")

PIECE = 1 << 20
"""Bytes that are read or copied at once."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_LINK_REFUSED = {errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}


def mismatch(what: str, size: int, sha256: str, meant_size: int, meant_sha256: str) -> Corrupt:
    """The error to answer when bytes are not those that were meant."""
    return Corrupt(
        f"{what} has {size} bytes with SHA-256 {sha256}, not {meant_size} with {meant_sha256}",
        fix="run `wharf store verify`, then send or replay the file again",
    )


def taken(ref: ObjectRef, size: int | None, sha256: str) -> Corrupt:
    """The error to answer where other bytes than those of `ref` lie in the store as this object."""
    return Corrupt(
        f"other bytes lie in the store as {ref}: {size} with SHA-256 {sha256}, not {ref.size} with {ref.sha256}",
        fix="run `wharf store verify`, then replay the file",
    )


def refusal(exc: OSError, doing: str, *, wanted: str = "write") -> StoreError:
    """The error to answer when the operating system refused; `doing` says what was tried, and where, `wanted` what must be permitted."""
    text = f"{doing}: {exc.strerror or exc}"
    error: StoreError
    if exc.errno in _FULL:
        error = NoSpace(text, fix="make room on the disk (or raise the quota)")
    elif exc.errno == errno.EIO:
        error = StoreError(text, code="DISK_FAILED", fix="look for disk errors in the kernel log (dmesg)")
    elif exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        error = StoreError(text, code="NOT_PERMITTED", fix=f"let the user that runs wharf {wanted} there")
    else:
        error = StoreError(text)
    error.is_internal = True
    error.__cause__ = exc
    return error


class Crew:
    """A few threads that do one job on many items: while one waits for the disk, the others go on."""

    def __init__(self, size: int = 16) -> None:
        self._size = size
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="disk")

    def each(self, job: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Do `job` on every item, several at a time, this thread helping; the answers come in the order of the items."""
        answers: dict[int, R] = {}
        queue = iter(list(enumerate(items)))  # its __next__ is one step under the GIL: threads share it as it is

        def work() -> None:
            for n, item in queue:
                answers[n] = job(item)

        others = [self._pool.submit(work) for _ in range(min(self._size, len(items) - 1))]
        work()
        for other in others:
            other.result()
        return [answers[n] for n in range(len(items))]

    def close(self) -> None:
        """Wait for what is under way and end the threads."""
        self._pool.shutdown()


if sys.platform == "darwin":  # fsync there leaves the bytes in the drive's cache: man 2 fsync

    def sync(fd: int) -> None:
        """Return when the file's bytes are durable. After an OSError the descriptor must not be trusted again."""
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)

    def start_writing(fd: int) -> None:
        """Let the disk begin with this file."""
else:
    _libc = ctypes.CDLL(None)
    _libc.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    _SYNC_FILE_RANGE_WRITE = 2  # sync_file_range(2)

    def sync(fd: int) -> None:
        """Return when the file's bytes are durable. After an OSError the descriptor must not be trusted again."""
        os.fdatasync(fd)

    def start_writing(fd: int) -> None:
        """
        Let the disk begin with this file, and wait only for room in its queue: not on an event loop. A group of small files that
        is begun first and waited for afterwards shares the filesystem's commit; a large one that is begun on the way does not
        hold up everybody's syncs at its end.
        """
        _libc.sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE)


def sync_file(path: str) -> None:
    """Return when the bytes of the file under this name are durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        sync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Return when the names in this directory are durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directories(path: str, *, below: str) -> None:
    """Make `path` and what is missing between it and `below`, durably; what another process made meanwhile is synced too."""
    steps = []
    while path != below:
        steps.append(path)
        path = os.path.dirname(path)
    for step in reversed(steps):
        with suppress(FileExistsError):
            os.mkdir(step, 0o700)
        sync_directory(os.path.dirname(step))


def make_missing(path: str) -> None:
    """Make the directory `path` and whatever is missing above it, durably; one that is there is left as it is."""
    above = path = os.path.abspath(path)
    while not os.path.exists(above):
        above = os.path.dirname(above)
    make_directories(path, below=above)


@contextmanager
def alone(directory: str) -> Iterator[None]:
    """One process at a time; the lock ends with its holder."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def make_secret(path: str, content: Callable[[], bytes]) -> None:
    """
    Make this file of what `content` answers, for its owner alone, unless there is one: of several processes that begin together one
    wins. It is whole and durable, also where whoever made it died at that moment.
    """
    directory = os.path.dirname(path) or "."
    make_missing(directory)
    with alone(directory):
        if not os.path.exists(path):
            replace_secret(path, content())
    sync_directory(directory)


def replace_secret(path: str, content: bytes) -> None:
    """
    Let this file have this content, whole and durable, for its owner alone. The caller is `alone` in its directory: what a crash
    leaves has one name, was never in use, and is overwritten the next time. Raises OSError, also where that name is a link.
    """
    made = f"{path}.new"
    try:
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(fd, 0o600)
            write_all(fd, content)
            sync(fd)
        finally:
            os.close(fd)
        os.rename(made, path)
    finally:
        discard([made])
    sync_directory(os.path.dirname(path) or ".")


def copy_range(source: int, target: int, start: int, end: int) -> None:
    """Copy bytes [start, end) between descriptors, within the kernel (or by sharing blocks) where it can; short at the source's end."""
    while start < end:
        copied = _copy_some(source, target, start, end - start)
        if not copied:
            return
        start += copied


def fill(source: BinaryIO, target: int, start: int, end: int) -> None:
    """Copy bytes [start, end) of an open object to the same place of a descriptor; short at the source's end."""
    try:
        fd = source.fileno()
    except io.UnsupportedOperation:  # it is not on this machine
        source.seek(start)
        while start < end and (piece := source.read(min(PIECE, end - start))):
            start += os.pwrite(target, piece, start)
            source.seek(start)
    else:
        copy_range(fd, target, start, end)


def _copy_some(source: int, target: int, at: int, count: int) -> int:
    if sys.platform == "linux":
        try:
            return os.copy_file_range(source, target, min(count, 1 << 30), at, at)
        except OSError as exc:
            if exc.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM):
                raise
    return os.pwrite(target, os.pread(source, min(count, PIECE), at), at)


def link(source: str, target: str) -> bool:
    """Give the file a second name. False where the filesystem refuses links (or more of them); FileExistsError as usual."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as exc:
        if exc.errno in _LINK_REFUSED:
            return False
        raise
    return True


def _exclusive_rename() -> Callable[[bytes, bytes], int] | None:
    """renameat2(2) with RENAME_NOREPLACE, or renamex_np(2) with RENAME_EXCL, where the C library has it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        here = -100  # AT_FDCWD
        libc.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
        return lambda source, target: int(libc.renameat2(here, source, here, target, 1))
    if hasattr(libc, "renamex_np"):
        libc.renamex_np.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint]
        return lambda source, target: int(libc.renamex_np(source, target, 4))
    return None


_rename = _exclusive_rename()


def move(source: str, target: str) -> None:
    """Rename, but never replace: raises FileExistsError (and leaves `source`) where `target` is there already."""
    if _rename is not None:
        if _rename(os.fsencode(source), os.fsencode(target)) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):  # the filesystem does not know the flag
            raise OSError(number, os.strerror(number), source, None, target)
    os.link(source, target)
    os.unlink(source)


def copy(source: str, target: str) -> None:
    """A new file with the same bytes, durable but for its name."""
    reading = os.open(source, os.O_RDONLY)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            copy_range(reading, writing, 0, os.fstat(reading).st_size)
            sync(writing)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def pour(source: BinaryIO, target: int) -> tuple[int, str]:
    """Write all of `source` to a descriptor; the disk begins at once. Answers size and SHA-256 (hex) of what was written."""
    size, sha256 = 0, hashlib.sha256()
    while piece := source.read(PIECE):
        sha256.update(piece)
        size += len(piece)
        write_all(target, piece)
        start_writing(target)
    return size, sha256.hexdigest()


def digest(fd: int) -> tuple[int, str]:
    """Size and SHA-256 (hex) of all that can be read from this descriptor."""
    size, sha256 = 0, hashlib.sha256()
    while piece := os.read(fd, PIECE):
        sha256.update(piece)
        size += len(piece)
    return size, sha256.hexdigest()


def write_all(fd: int, data: bytes) -> None:
    """Write every byte at the descriptor's position."""
    done = os.write(fd, data)
    while done < len(data):
        done += os.write(fd, memoryview(data)[done:])


def size(path: str) -> int | None:
    """Bytes of the file, None where there is none."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None


def inode(path: str) -> int | None:
    """The number of the file under this name, None where there is none."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None


def remove(paths: Iterable[str]) -> None:
    """Unlink these files as far as they are there."""
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)


def discard(paths: Iterable[str]) -> None:
    """Unlink files that do no harm where they are: what the disk refuses stays."""
    for path in paths:
        with suppress(OSError):
            os.unlink(path)
