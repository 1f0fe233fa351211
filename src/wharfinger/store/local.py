"""
The local store: objects as files with id-based names, beside a journal that describes them.

    ROOT/README.txt
    ROOT/objects/01K1F/9Z/01K1F9Z...   an object; its name is the file_id of (bucket, key, version), never a partner's name
    ROOT/journal/DATE/ULID.ndjson      one line for each object (see `journal`)
    ROOT/staging/, ROOT/scratch/       work in progress, of no value after a crash but for partial uploads

A name begins with its version's time, so objects of one moment share a directory, and a group of them one directory sync.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from wharfinger.errors import Corrupt, NameRefused, NotFound, StoreError, WharfingerError
from wharfinger.model import ObjectRef
from wharfinger.store import Copy, Listed, Put, disk
from wharfinger.store.journal import (
    Deleted,
    Group,
    Journal,
    Kept,
    Noted,
    deleted_line,
    located,
    note_line,
    object_line,
    shelved,
)
from wharfinger.store.verify import Problem, Progress, Verification
from wharfinger.store.versions import Versions
from wharfinger.telemetry import crash

README = """\
This is the store of a Wharfinger installation. It belongs to the program: please change nothing by hand.

objects/   the files in custody, each under its file_id (`wharf file ID` tells all about it)
journal/   what each of them is: bucket, key, version, size, SHA-256, customer (one JSON object a line)
staging/   uploads that are under way, or were cut off and may be resumed
scratch/   work in progress

`wharf store ls`, `wharf store cat` and `wharf store verify` read it. If the ledger is lost, `wharf ledger rebuild`
makes it anew from the journal. A backup needs objects/ and journal/.
"""


@dataclass(slots=True)
class _Element:
    """One object of a group on its way to its name."""

    ref: ObjectRef
    about: Mapping[str, Any]
    source: str  # path of its bytes so far
    place: str  # path of the object
    fd: int | None = None  # of the source
    line: bytes = b""  # for the journal
    error: WharfingerError | None = None
    placed: bool = False  # by this group; else it was there before


class Shelf:
    """The files of the objects. See `verify.Shelf`."""

    def __init__(self, objects: str) -> None:
        self._objects = objects  # path

    def place(self, ref: ObjectRef) -> str:
        """The path of the object's file."""
        return f"{self._objects}/{shelved(ref)}"

    def present(self, places: Iterable[str]) -> set[str]:
        """Which of these files are there."""
        return {place for place in places if os.path.exists(place)}

    def digests(self, places: Iterable[str]) -> Iterator[tuple[int, str] | Exception | None]:
        """Read each file."""
        for place in places:
            try:
                yield _digest(place)
            except FileNotFoundError:
                yield None
            except OSError as exc:
                yield disk.refusal(exc, place)

    def folders(self) -> Iterator[tuple[str, list[str]]]:
        """Every directory with its files."""
        return ((folder, [f"{folder}/{name}" for name in names]) for folder, _, names in os.walk(self._objects))


class LocalStore:
    """A Store in one directory of one filesystem. Several processes may use it at once, and threads may share an instance."""

    def __init__(self, root: Path | str, *, clock: Callable[[], float] = time.time) -> None:
        self.root = root = Path(root).absolute()
        self.staging = root / "staging"
        self._clock = clock
        self._fresh_name = Versions(clock)
        self._synced: set[str] = set()  # directories whose own names are durable, as far as this process knows
        _lay_out(root)
        self._objects = str(root / "objects")
        self._shelf = Shelf(self._objects)
        self._place = self._shelf.place
        self._journal = Journal(root / "journal", clock)
        self._crew = disk.Crew()

    def put(self, puts: Sequence[Put]) -> list[WharfingerError | None]:
        """
        See Store. A staged file whose sync failed is removed: the kernel may have dropped its bytes, and a second sync would
        not tell (lwn.net/Articles/752063). After any other error it is left, and may be put again.
        """
        group = [_Element(put.ref, put.about, str(put.path), self._place(put.ref), put.fd) for put in puts]
        self._keep(group, ready=self._sync_staged, name=_move)
        disk.discard(element.source for element in group if element.error is None and not element.placed)
        return [element.error for element in group]

    def prepare(self, put: Put) -> None:
        """See Store. Nothing: a name costs the same for files of every size, and who has staged a large one has synced it."""

    def copy(self, copies: Sequence[Copy]) -> list[WharfingerError | None]:
        """See Store. The copy is a second name of the same blocks, where the filesystem allows it."""
        group = [_Element(copy.ref, copy.about, self._place(copy.source), self._place(copy.ref)) for copy in copies]
        self._keep(group, ready=_check_source, name=self._link)
        return [element.error for element in group]

    def open(self, ref: ObjectRef) -> BinaryIO:
        """See Store."""
        try:
            return open(self._place(ref), "rb")
        except FileNotFoundError as exc:
            raise NotFound(f"{ref} is not in the store {self.root}") from exc
        except OSError as exc:
            raise disk.refusal(exc, f"{ref} could not be opened") from exc

    def head(self, refs: Sequence[ObjectRef]) -> list[int | None]:
        """See Store."""
        return [disk.size(self._place(ref)) for ref in refs]

    def delete(self, refs: Sequence[ObjectRef]) -> None:
        """See Store. Durable when it returns; the journal hears of it first, so that a deletion is never taken for a loss."""
        places = [self._place(ref) for ref in refs]
        lines = [deleted_line(ref, self._clock()) for ref, place in zip(refs, places) if os.path.exists(place)]
        if lines:
            self._journal.append(lines)
        crash.point("store.deleting")
        try:
            disk.remove(places)
            self._crew.each(disk.sync_directory, [folder for folder in _folders(places) if os.path.isdir(folder)])
        except OSError as exc:
            raise disk.refusal(exc, f"objects in {self._objects} could not be deleted") from exc

    def list(self, bucket: str = "", prefix: str = "") -> Iterator[Listed]:
        """See Store. Damaged lines of the journal are passed over; `verify` reports them."""
        entries = (e for e in self._journal.read() if isinstance(e, Kept | Deleted) and e.ref.is_in(bucket, prefix))
        there = located(entries, self._place, self._shelf.present)
        return (entry.listed for entry, path in there if isinstance(entry, Kept) and path is not None)

    def verify(self, progress: Progress = lambda *_: None) -> Iterable[Problem]:
        """Read every object, and yield whatever does not fit the journal. For people; not part of Store."""
        return Verification(self._shelf, self._journal.read, progress)

    def note(self, notes: Sequence[Mapping[str, Any]]) -> None:
        """See Store."""
        if notes:
            self._journal.append([note_line(note, self._clock()) for note in notes])

    def notes(self) -> Iterator[Mapping[str, Any]]:
        """See Store."""
        return (entry.note for entry in self._journal.read() if isinstance(entry, Noted))

    def scratch(self) -> Path:
        """See Store."""
        path = self.root / "scratch" / self._fresh_name()
        try:
            path.mkdir(0o700)
        except OSError as exc:
            raise disk.refusal(exc, f"{path} could not be made") from exc
        return path

    def close(self) -> None:
        """See Store. Ends the threads and closes the journal."""
        self._crew.close()
        self._journal.close()

    def _keep(
        self,
        group: Sequence[_Element],
        *,
        ready: Callable[[Sequence[_Element]], None],
        name: Callable[[_Element], None],
    ) -> None:
        """
        First journal lines and bytes (`ready`) are made durable, which share the filesystem's commit; then each object gets its
        name (`name`); then the names are made durable. What was there before is success only with the same bytes. Errors are left
        in the elements.
        """
        fresh = [e for e in group if not os.path.exists(e.place) and self._describe(e)]
        for element in fresh:
            if element.fd is not None:
                disk.start_writing(element.fd)
        lines = self._append(fresh)
        ready([e for e in fresh if e.error is None])
        crash.point("store.synced")
        self._make_folders(fresh)
        for element in fresh:
            if element.error is None:
                _give_name(element, name)
        crash.point("store.renamed")
        self._sync_names(group)
        self._crew.each(_compare, [e for e in group if e.error is None and not e.placed])
        if lines is not None:
            self._journal.confirm(lines, void=[n for n, element in enumerate(fresh) if not element.placed])

    def _describe(self, element: _Element) -> bool:
        """Write the element's journal line; False if that cannot be done."""
        try:
            element.line = object_line(element.ref, element.about, self._clock())
        except NameRefused as refused:
            element.error = refused
        return element.error is None

    def _append(self, fresh: Sequence[_Element]) -> Group | None:
        """Write the lines of these elements; None if there are none, or the journal refuses them."""
        try:
            return self._journal.append([e.line for e in fresh]) if fresh else None
        except StoreError as error:
            for element in fresh:
                element.error = error
            return None

    def _sync_staged(self, fresh: Sequence[_Element]) -> None:
        self._crew.each(_sync_one, fresh)

    def _make_folders(self, fresh: Sequence[_Element]) -> None:
        for folder in _folders(e.place for e in fresh if e.error is None):
            if folder in self._synced:
                continue
            try:
                disk.make_directories(folder, below=self._objects)
                self._synced.add(folder)
            except OSError as exc:
                _fail(fresh, folder, disk.refusal(exc, f"the directory {folder} could not be made"))

    def _sync_names(self, group: Sequence[_Element]) -> None:
        """Make the names durable; where that fails, take back those that this group gave."""
        folders = _folders(e.place for e in group if e.error is None)
        for folder, error in zip(folders, self._crew.each(_sync_folder, folders)):
            if error is not None:
                disk.discard(e.place for e in group if e.placed and os.path.dirname(e.place) == folder)
                _fail(group, folder, error)

    def _link(self, element: _Element) -> None:
        """A second name for an object's file; a copy of its bytes where the filesystem refuses that."""
        if not disk.link(element.source, element.place):
            staged = str(self.staging / self._fresh_name())
            disk.copy(element.source, staged)
            disk.move(staged, element.place)


def open_url(_: str, directory: Path) -> LocalStore:
    """The store at `file:///path`, which is `directory`."""
    return LocalStore(directory)


def _lay_out(root: Path) -> None:
    try:
        disk.make_directories(str(root), below=str(next(parent for parent in root.parents if parent.exists())))
        for name in ("objects", "journal", "staging", "scratch"):
            (root / name).mkdir(0o700, exist_ok=True)
        readme = root / "README.txt"
        if not readme.exists():
            readme.write_text(README)
        disk.sync_directory(str(root))
    except OSError as exc:
        raise disk.refusal(exc, f"the store {root} could not be made") from exc


def _sync_one(element: _Element) -> None:
    """Make the bytes of one staged file durable."""
    try:
        fd = os.open(element.source, os.O_RDONLY) if element.fd is None else element.fd
    except FileNotFoundError:
        element.error = NotFound(f"{element.ref}: its staged file is gone", fix="send it again")
        return
    except OSError as exc:
        element.error = disk.refusal(exc, f"{element.ref}: its staged file {element.source} could not be opened")
        return
    try:
        size = os.fstat(fd).st_size
        if size != element.ref.size:
            element.error = Corrupt(
                f"{element.ref}: its staged file has {size} bytes, not {element.ref.size}", fix="send it again"
            )
        else:
            disk.sync(fd)
    except OSError as exc:
        disk.discard([element.source])
        element.error = disk.refusal(exc, f"{element.ref} could not be written to disk")
    finally:
        if element.fd is None:
            os.close(fd)


def _check_source(fresh: Sequence[_Element]) -> None:
    for element in fresh:
        if not os.path.exists(element.source):
            element.error = NotFound(f"the object that {element.ref} should be a copy of is not in the store")


def _give_name(element: _Element, name: Callable[[_Element], None]) -> None:
    try:
        name(element)
        element.placed = True
    except FileExistsError:
        pass  # another process was faster with the same object
    except OSError as exc:
        element.error = disk.refusal(exc, f"{element.ref} could not get its name {element.place}")


def _compare(element: _Element) -> None:
    """Refuse the element if other bytes than it means have its name."""
    ref = element.ref
    try:
        size, sha256 = _digest(element.place) if ref.sha256 else (disk.size(element.place), "")
    except OSError as exc:
        element.error = disk.refusal(exc, f"{ref} could not be read again")
        return
    if (size, sha256) != (ref.size, ref.sha256):
        element.error = disk.taken(ref, size, sha256)


def _digest(place: str) -> tuple[int, str]:
    with open(place, "rb", buffering=0) as file:
        return disk.digest(file.fileno())


def _move(element: _Element) -> None:
    disk.move(element.source, element.place)


def _sync_folder(folder: str) -> StoreError | None:
    try:
        disk.sync_directory(folder)
    except OSError as exc:
        return disk.refusal(exc, f"the names in {folder} could not be made durable")
    return None


def _fail(group: Sequence[_Element], folder: str, error: StoreError) -> None:
    for element in group:
        if element.error is None and os.path.dirname(element.place) == folder:
            element.error, element.placed = error, False


def _folders(places: Iterable[str]) -> list[str]:
    return sorted({os.path.dirname(place) for place in places})
