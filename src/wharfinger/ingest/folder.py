"""
A watched folder.

A file is known by its inode, its times and its size: its version is made of them, so that a file that was landed, and is still there
after a crash, is found to be known. The time of the inode's last change (ctime) is among them: no sender can set it, and it moves with
every write and rename.

Whoever may write into the folder is not trusted: each part of a path is opened by itself and never through a link.

What is in custody and is to go is first moved aside, into a directory of its own beside it (`.wharf-taken-VERSION/`), and looked at
there: what was put in its place in the last moment goes back.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from wharfinger.config import glob
from wharfinger.config import settings as config
from wharfinger.errors import SourceError
from wharfinger.ingest.source import Found
from wharfinger.model import derive, is_ulid, ulid
from wharfinger.names import key_fault, shown
from wharfinger.store import disk
from wharfinger.store.names import OURS
from wharfinger.telemetry import crash

ASIDE = f"{OURS}taken-"
"""How the directories begin in which originals wait for their removal; the version follows."""

FRESH_S = 0.05
"""A file that changed so short a time ago may change again without a trace: some filesystems count time in steps of 10 ms."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in the place of a file must not stop us
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}


class Identity(NamedTuple):
    """What makes a file this very file."""

    inode: int
    ctime_ns: int
    mtime_ns: int
    size: int  # bytes

    @classmethod
    def of(cls, told: os.stat_result) -> Identity:
        """What the system tells of it."""
        return cls(told.st_ino, told.st_ctime_ns, told.st_mtime_ns, told.st_size)

    @property
    def version(self) -> str:
        """A ULID with the time of the last change."""
        return derive(ulid(self.ctime_ns / 1e9, 0), *map(str, self))

    def has_moved_to(self, other: Identity) -> bool:
        """Whether `other` is the same file with the same content under another name; that changes its ctime."""
        return (self.inode, self.mtime_ns, self.size) == (other.inode, other.mtime_ns, other.size)


class Folder:
    """See Source. For one thread."""

    kind = "folder"

    def __init__(
        self,
        name: str,
        place: config.Source,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        assert place.directory is not None
        self.name = name
        self.keeps = place.original == "keep"
        self._top = place.directory
        self._place, self._clock, self._monotonic = place, clock, monotonic
        self._own = _below(place.move_to, self._top)  # files that were taken may be kept within the folder
        self._since: dict[
            str, tuple[str, float]
        ] = {}  # by name: the version it has, and since when it was seen (monotonic)

    def listing(self) -> Iterator[Found]:
        """See Source. Symbolic links, pipes, sockets, devices and directories that cannot be read are found with a fault."""
        since: dict[str, tuple[str, float]] = {}
        folders = [""]
        while folders:
            path = folders.pop()
            try:
                entries = self._entries(path)
            except SourceError as error:
                if not path:
                    raise
                entries = []
                yield Found(path, self._key(path), "", fault=f"cannot be looked into: {error}")
            for name, told in entries:
                found = self._found(name, told)
                if stat.S_ISDIR(told.st_mode) and not found.fault:
                    folders.append(name)
                    continue
                before = self._since.get(name, ("", 0.0))
                since[name] = before if before[0] == found.version else (found.version, self._monotonic())
                yield found
            yield from self._set_aside(path)
        self._since = since

    def is_whole(self, found: Found) -> bool:
        """See Source. Nothing is that changed just now."""
        if 0 <= self._clock() - found.at < FRESH_S:
            return False
        match self._place.complete:
            case "stable":
                version, since = self._since.get(found.name, ("", 0.0))
                return version == found.version and self._monotonic() - since >= self._place.stable_s
            case "marker":
                return self._is_marked(found)
            case "lock":
                return self._is_unlocked(found)
        return True

    def read(self, found: Found) -> Iterator[bytes]:
        """See Source."""
        with self._telling(found), self._file(found) as fd:
            _check(fd, found)
            while piece := os.read(fd, disk.PIECE):
                yield piece
            _check(fd, found)

    def release(self, found: Found, sha256: str) -> None:
        """See Source."""
        if self.keeps:
            return
        folder, _, name = found.name.rpartition("/")
        with self._telling(found), self._folder(folder) as above:
            if not found.is_aside and not self._set_apart(above, name, found):
                return
            with _opened(f"{ASIDE}{found.version}", _FOLDER, above) as aside:
                if found.is_aside and not _has(aside, name, sha256):
                    _put_back(aside, above, name)
                else:
                    self._remove_marker(above, name)
                    self._remove(aside, name, found)
            with suppress(FileNotFoundError):
                os.rmdir(f"{ASIDE}{found.version}", dir_fd=above)

    def _entries(self, path: str) -> list[tuple[str, os.stat_result]]:
        """The names in one directory, from the top, that are not to be left alone, with what the system tells of them."""
        where = self._top / path
        try:
            with self._folder(path) as fd, os.scandir(fd) as entries:
                names = sorted(entry.name for entry in entries)
                told = {name: _stat(name, fd) for name in names if not self._is_left_alone(path, name)}
        except FileNotFoundError as exc:
            if path:  # it was removed since its name was read
                return []
            raise SourceError(f"{where} is not there", fix=f"mkdir -p {where}") from exc
        except OSError as exc:
            raise SourceError(f"{where}: {exc.strerror}", fix=f"let the user that runs wharf read {where}") from exc
        return [(f"{path}/{name}" if path else name, each) for name, each in told.items() if each]

    def _is_left_alone(self, path: str, name: str) -> bool:
        if glob.fits(self._place.ignore, name) or name.startswith(OURS):
            return True
        if self._place.complete == "marker" and name.endswith(self._place.marker):
            return True
        return self._own is not None and (f"{path}/{name}" if path else name) == self._own

    def _found(self, name: str, told: os.stat_result) -> Found:
        identity = Identity.of(told)
        key = self._key(name)
        fault = key_fault(key)
        if stat.S_ISLNK(told.st_mode):
            fault = "is a symbolic link, which is not followed"
        elif not stat.S_ISREG(told.st_mode) and not stat.S_ISDIR(told.st_mode):
            fault = "is no regular file"
        at, mtime = told.st_ctime_ns / 1e9, told.st_mtime_ns / 1e9
        return Found(name, key, identity.version, identity.size, at, mtime, fault)

    def _key(self, name: str) -> str:
        return f"{self._place.customer}/{self._place.prefix}{name}"

    def _set_aside(self, path: str) -> Iterator[Found]:
        """What a crash left aside in this directory."""
        with suppress(FileNotFoundError), self._folder(path) as fd:
            with os.scandir(fd) as entries:
                boxes = [entry.name for entry in entries if is_ulid(entry.name.removeprefix(ASIDE))]
            for box in boxes:
                yield from self._in_box(fd, path, box)

    def _in_box(self, above: int, path: str, box: str) -> Iterator[Found]:
        with suppress(FileNotFoundError, NotADirectoryError), _opened(box, _FOLDER, above) as fd:
            with os.scandir(fd) as entries:
                names = [entry.name for entry in entries]
            for base in names:
                name = f"{path}/{base}" if path else base
                told = _stat(base, fd)
                if told:
                    at = told.st_ctime_ns / 1e9
                    yield Found(name, self._key(name), box.removeprefix(ASIDE), told.st_size, at, is_aside=True)
            if not names:  # the crash came when all was done but this
                with suppress(OSError):
                    os.rmdir(box, dir_fd=above)

    def _set_apart(self, above: int, name: str, found: Found) -> bool:
        """Move the original aside; False where it is not there any more, or is another file now, or somebody else is doing it."""
        box = f"{ASIDE}{found.version}"
        try:
            with _opened(name, _FILE, above) as fd:  # open, so that its inode is nobody else's
                before = Identity.of(os.fstat(fd))
                if before.version != found.version:
                    return False
                os.mkdir(box, 0o700, dir_fd=above)
                with _opened(box, _FOLDER, above) as aside:
                    os.rename(name, name, src_dir_fd=above, dst_dir_fd=aside)
                    crash.point("folder.aside")
                    if before.has_moved_to(Identity.of(os.stat(name, dir_fd=aside, follow_symlinks=False))):
                        return True
                    _put_back(aside, above, name)
                os.rmdir(box, dir_fd=above)
        except (FileNotFoundError, FileExistsError):
            with suppress(OSError):
                os.rmdir(box, dir_fd=above)
        return False

    def _remove(self, aside: int, name: str, found: Found) -> None:
        if self._place.move_to is not None:
            _keep_elsewhere(aside, found, self._place.move_to)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=aside)

    def _remove_marker(self, above: int, name: str) -> None:
        """Unless a newer file has come, whose marker it may be."""
        if self._place.complete != "marker" or _stat(name, above):
            return
        for ending in self._place.marker:
            with suppress(FileNotFoundError):
                os.unlink(f"{name}{ending}", dir_fd=above)

    def _is_marked(self, found: Found) -> bool:
        """A marker that is older than its file was left by an earlier one."""
        folder, _, name = found.name.rpartition("/")
        with self._telling(found), self._folder(folder) as above:
            its = _stat(name, above)
            markers = [_stat(f"{name}{ending}", above) for ending in self._place.marker]
            return its is not None and any(marker.st_ctime_ns >= its.st_ctime_ns for marker in markers if marker)

    def _is_unlocked(self, found: Found) -> bool:
        """Whether neither flock(2) nor fcntl(2) shows a writer's lock."""
        with self._telling(found), self._file(found) as fd:
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    def _folder(self, path: str) -> AbstractContextManager[int]:
        """A descriptor of a directory below the top, or of the top itself: ""."""
        return _descended(self._top, path)

    @contextmanager
    def _file(self, found: Found) -> Iterator[int]:
        folder, _, name = found.name.rpartition("/")
        with self._folder(folder) as above, _opened(name, _FILE, above) as fd:
            yield fd

    @contextmanager
    def _telling(self, found: Found) -> Iterator[None]:
        """What the system refuses, as a SourceError."""
        try:
            yield
        except FileNotFoundError as exc:
            raise _changed(found) from exc
        except OSError as exc:
            code, fix = _REFUSALS.get(exc.errno or 0, ("SOURCE_FAILED", "look at the file and its folder"))
            raise SourceError(f"{shown(found.name)}: {exc.strerror}", code=code, fix=fix) from exc


_REFUSALS: Mapping[int, tuple[str, str]] = {
    errno.EACCES: (
        "NOT_PERMITTED",
        "let the user that runs wharf read the file, and write to its folder if it is to go",
    ),
    errno.EPERM: (
        "NOT_PERMITTED",
        "let the user that runs wharf read the file, and write to its folder if it is to go",
    ),
    errno.EROFS: ("NOT_PERMITTED", "mount the folder for writing, or set `original: keep`"),
    errno.EEXIST: (
        "NAME_TAKEN",
        f"two files had this name at one time; the one in {ASIDE}... beside it is not in custody: give it another name",
    ),
    errno.EIO: ("DISK_FAILED", "look for disk errors in the kernel log (dmesg)"),
    errno.ESTALE: ("CHANGED", "nothing; it is looked at again"),
}


def _changed(found: Found) -> SourceError:
    fix = "nothing; it is taken when it is whole. If it is told again and again, choose another rule: `complete`"
    return SourceError(f"{shown(found.name)} changed while it was taken", code="CHANGED", fix=fix)


def _check(fd: int, found: Found) -> None:
    told = os.fstat(fd)
    if not stat.S_ISREG(told.st_mode) or Identity.of(told).version != found.version:
        raise _changed(found)


@contextmanager
def _opened(name: str, flags: int, above: int) -> Iterator[int]:
    fd = os.open(name, flags, 0o600, dir_fd=above)
    try:
        yield fd
    finally:
        os.close(fd)


def _stat(name: str, above: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _has(folder: int, name: str, sha256: str) -> bool:
    """Whether this file has these bytes."""
    with _opened(name, _FILE, folder) as fd:
        return disk.digest(fd)[1] == sha256


def _put_back(aside: int, above: int, name: str) -> None:
    """Back to its place. Raises FileExistsError where a newer one has taken that: it stays aside, and is told at every look."""
    try:
        os.link(name, name, src_dir_fd=aside, dst_dir_fd=above, follow_symlinks=False)
    except FileExistsError:
        if not _is_same(name, aside, name, above):
            raise
    os.unlink(name, dir_fd=aside)


def _keep_elsewhere(aside: int, found: Found, top: Path) -> None:
    """Give the file its name among those that were taken, durably; where another has that, the version is added."""
    folder, _, name = found.name.rpartition("/")
    disk.make_missing(str(top))
    with _descended(top, folder, make=True) as there:
        try:
            _link(aside, name, there, name)
        except FileExistsError:
            with suppress(FileExistsError):  # a crash came after this very move
                _link(aside, name, there, f"{name}.{found.version}")
        os.fsync(there)


def _link(aside: int, name: str, there: int, target: str) -> None:
    """A second name for the same file, or a copy where it is to be on another filesystem. Raises FileExistsError."""
    try:
        os.link(name, target, src_dir_fd=aside, dst_dir_fd=there, follow_symlinks=False)
    except FileExistsError:
        if not _is_same(name, aside, target, there):
            raise
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        _copy(aside, name, there, target)


def _copy(aside: int, name: str, there: int, target: str) -> None:
    if _stat(target, there):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    partial = f"{OURS}{threading.get_native_id()}"
    with suppress(FileNotFoundError):
        os.unlink(partial, dir_fd=there)
    with _opened(name, _FILE, aside) as source, _opened(partial, _NEW, there) as copy:
        disk.copy_range(source, copy, 0, os.fstat(source).st_size)
        disk.sync(copy)
    os.rename(partial, target, src_dir_fd=there, dst_dir_fd=there)


def _is_same(name: str, folder: int, other: str, other_folder: int) -> bool:
    """Whether two names are of one file."""
    one, two = _stat(name, folder), _stat(other, other_folder)
    return bool(one and two and os.path.samestat(one, two))


@contextmanager
def _descended(top: Path, path: str, *, make: bool = False) -> Iterator[int]:
    """A descriptor of the directory `path` below `top`, no part of which may be a link; with `make`, what is missing is made."""
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in path.split("/") if path else ():
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=fd)
                    os.fsync(fd)
            below = os.open(part, _FOLDER, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def _below(path: Path | None, folder: Path) -> str | None:
    """Where `path` lies below `folder`; None where it does not."""
    if path is None or not path.is_relative_to(folder):
        return None
    return path.relative_to(folder).as_posix()
