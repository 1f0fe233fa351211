"""
The target that is a directory of this machine, where partners and programs expect real names.

A delivery is written under a temporary name beside its final one (`.wharf-ID-XXXXXXXX`, ID following from the delivery's
version, target and key), synced, renamed, and its folder synced. The last eight characters differ from try to try: a worker
that was taken for dead, and wakes, cannot rename the half-written file of its successor; nor does it rename its own over one that
has the same bytes.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wharfinger.errors import StoreError, Transient, WharfingerError
from wharfinger.model import Delivered, ObjectRef, derive
from wharfinger.store import Delivery, Lying, Store, disk, names
from wharfinger.store.folders import Folders
from wharfinger.telemetry import crash

_GONE = FileNotFoundError, NotADirectoryError

STALE_S = 3600.0
"""A temporary file that nobody has written to for so long was left by a crash. Each folder is searched for them as often."""


@dataclass(slots=True)
class _Drop:
    """One delivery on its way to its name."""

    delivery: Delivery
    key: str
    id: str
    folder: int = -1  # descriptor of its directory
    name: str = ""  # in that directory
    temp: str = ""  # its name until it is durable; "" where these very bytes lie under the name already
    fd: int = -1  # of the temporary file
    error: WharfingerError | None = None


class DirectoryTarget:
    """Delivers into `directory` under `prefix` + key. Folders are made; the directory itself is not, for it may be unmounted."""

    def __init__(
        self, store: Store, name: str, directory: Path, prefix: str = "", *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store, self._name, self._directory, self._prefix = store, name, directory, prefix
        self._clock = clock
        self._crew = disk.Crew()
        self._durable: set[tuple[str, ...]] = set()
        self._searched: dict[tuple[str, ...], float] = {}  # when leftovers were last looked for, by folder; epoch s

    def deliver(self, deliveries: Sequence[Delivery]) -> list[Delivered | WharfingerError]:
        """
        See Target. Errors are NameRefused, Corrupt, Transient where the directory is not there, else StoreError. What failed is
        not visible, unless it was its folder that could not be synced: then a crash may undo it, and a repeat makes it good.
        """
        drops = [
            _Drop(each, self._prefix + each.key, derive(each.version, self._name, each.key)) for each in deliveries
        ]
        try:
            with Folders(self._directory, self._durable) as folders:
                self._find_folders(drops, folders)
                self._write(drops)
                crash.point("target.synced")
                self._rename(drops)
                crash.point("target.renamed")
                self._sync_folders(drops)
        except Transient as error:
            return [error for _ in deliveries]
        return [drop.error or self._delivered(drop) for drop in drops]

    def head(self, key: str) -> int | None:
        """See Target; None also for what is no regular file. Raises NameRefused, and Transient where the directory is not there."""
        *folder, name = names.parts(self._prefix + key)
        with Folders(self._directory, self._durable) as folders:
            try:
                found = os.stat(name, dir_fd=folders.open(tuple(folder)), follow_symlinks=False)
            except FileNotFoundError:
                return None
            except OSError as exc:
                raise disk.refusal(exc, f"{self._directory}/{self._prefix}{key} could not be looked up") from exc
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def listing(self) -> Iterator[Lying]:
        """See Target. Folder by folder; what comes or goes meanwhile may be in it or not."""
        with Folders(self._directory, self._durable):
            pass  # it raises where the directory is not there
        for folder, _, files in os.walk(self._directory, onerror=_refuse):
            above = os.path.relpath(folder, self._directory)
            for name in files:
                key = name if above == "." else f"{above}/{name}"
                if key.startswith(self._prefix) and not name.startswith(names.OURS):
                    yield from _lying(key, f"{folder}/{name}")

    def digest(self, lying: Lying) -> str | None:
        """See Target."""
        try:
            fd = os.open(self._directory / lying.key, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except _GONE:
            return None
        except OSError as exc:
            raise disk.refusal(exc, f"{self._directory / lying.key} could not be read", wanted="read") from exc
        try:
            return disk.digest(fd)[1]
        except OSError as exc:
            raise disk.refusal(exc, f"{self._directory / lying.key} could not be read", wanted="read") from exc
        finally:
            os.close(fd)

    def _find_folders(self, drops: Sequence[_Drop], folders: Folders) -> None:
        ids = {drop.id for drop in drops}
        for drop in drops:
            with _failing(drop, f"no folder for {drop.key!a} could be made in {self._directory}"):
                *folder, drop.name = names.parts(drop.key)
                drop.folder = folders.make(tuple(folder))
                self._search(tuple(folder), drop.folder, ids)

    def _search(self, folder: tuple[str, ...], fd: int, ids: set[str]) -> None:
        """Remove what crashed deliveries left: of the same ids at once, of others when it is stale."""
        now = self._clock()
        if now - self._searched.get(folder, 0.0) < STALE_S:
            return
        self._searched[folder] = now
        with os.scandir(fd) as entries:
            ours = [entry for entry in entries if entry.name.startswith(names.OURS)]
        for entry in ours:
            with suppress(FileNotFoundError):
                if (
                    entry.name[len(names.OURS) :][:26] in ids
                    or entry.stat(follow_symlinks=False).st_mtime < now - STALE_S
                ):
                    os.unlink(entry.name, dir_fd=fd)

    def _write(self, drops: Sequence[_Drop]) -> None:
        """Every delivery durable under its temporary name, but for those that lie there already."""
        try:
            for drop in drops:
                if drop.error is None:
                    with _failing(drop, f"{drop.key!a} could not be written in {self._directory}"):
                        self._write_one(drop)
            self._crew.each(_sync, [drop for drop in drops if drop.fd >= 0])
        finally:
            for drop in drops:
                if drop.fd >= 0:
                    os.close(drop.fd)
                if drop.error is not None and drop.temp:
                    _unlink(drop)

    def _write_one(self, drop: _Drop) -> None:
        if _lies_there(drop):
            return
        temp = f"{names.OURS}{drop.id}-{os.urandom(4).hex()}"
        drop.fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=drop.folder)
        drop.temp = temp
        with self._source(drop.delivery) as source:
            size, sha256 = disk.pour(source, drop.fd)
        if (size, sha256) != (drop.delivery.size, drop.delivery.sha256):
            raise disk.mismatch(str(drop.delivery.source), size, sha256, drop.delivery.size, drop.delivery.sha256)

    def _source(self, delivery: Delivery) -> BinaryIO:
        if isinstance(delivery.source, ObjectRef):
            return self._store.open(delivery.source)
        return delivery.source.open("rb")

    def _rename(self, drops: Iterable[_Drop]) -> None:
        for drop in drops:
            if drop.error is None and drop.temp:
                with _failing(drop, f"{drop.key!a} could not get its name in {self._directory}"):
                    if not _lies_there(drop):  # this process may have slept, and a successor was faster
                        os.rename(drop.temp, drop.name, src_dir_fd=drop.folder, dst_dir_fd=drop.folder)
                        continue
                _unlink(drop)

    def _sync_folders(self, drops: Sequence[_Drop]) -> None:
        """Also for what lay there before: whoever put it there may have died before this."""
        for folder in {drop.folder for drop in drops if drop.error is None}:
            try:
                os.fsync(folder)
            except OSError as exc:
                for drop in drops:
                    if drop.folder == folder and drop.error is None:
                        drop.error = disk.refusal(
                            exc, f"the folder of {drop.key!a} in {self._directory} could not be synced"
                        )

    def _delivered(self, drop: _Drop) -> Delivered:
        each = drop.delivery
        return Delivered(
            self._name, str(self._directory), drop.key, each.version, each.size, each.sha256, self._clock()
        )


@contextmanager
def _failing(drop: _Drop, doing: str) -> Iterator[None]:
    """What is refused in here is this delivery's error and nobody else's."""
    try:
        yield
    except StoreError as error:
        drop.error = error
    except OSError as exc:
        drop.error = disk.refusal(exc, doing)


def _lies_there(drop: _Drop) -> bool:
    """Whether a file with these very bytes has the name already; if so its bytes are durable."""
    try:
        found = os.stat(drop.name, dir_fd=drop.folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(found.st_mode):
        raise StoreError(
            f"{drop.key!a} is a folder there", code="NAME_TAKEN", fix="move it away, or deliver under another name"
        )
    if not stat.S_ISREG(found.st_mode) or found.st_size != drop.delivery.size:
        return False
    fd = os.open(drop.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=drop.folder)
    try:
        if disk.digest(fd) != (drop.delivery.size, drop.delivery.sha256):
            return False
        disk.sync(fd)
        return True
    finally:
        os.close(fd)


def _lying(key: str, path: str) -> Iterator[Lying]:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError as exc:
        _refuse(exc)
    else:
        if stat.S_ISREG(found.st_mode):
            yield Lying(key, "", found.st_size, found.st_mtime)


def _refuse(error: OSError) -> None:
    """What is gone by now is no trouble."""
    if not isinstance(error, _GONE):
        raise disk.refusal(error, f"{error.filename} could not be looked at", wanted="read") from error


def _sync(drop: _Drop) -> None:
    with _failing(drop, f"{drop.key!a} could not be made durable"):
        disk.sync(drop.fd)


def _unlink(drop: _Drop) -> None:
    with suppress(OSError):  # a leftover; the next search finds it
        os.unlink(drop.temp, dir_fd=drop.folder)
