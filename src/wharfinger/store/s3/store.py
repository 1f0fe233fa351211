"""
The store in a bucket: objects under id-based keys, beside a journal that describes them.

    PREFIX/README.txt
    PREFIX/objects/01K1F/9Z/01K1F9Z...   an object; its name is the file_id of (bucket, key, version), never a partner's name
    PREFIX/journal/DATE/ULID.ndjson      one line for each object of a group (see `pages`)
    PREFIX/again/DATE/ULID.ndjson        likewise, of objects that a repeated put found there
    SPOOL/staging/, SPOOL/scratch/       on this machine: work in progress

The names are those of a local store. An object is put with its SHA-256 as a checksum that the service verifies, and on condition that
nothing has its key; the bytes are hashed once more on their way. A group's objects go out together, then the journal's page, and then
the group is acknowledged: all that counts is in the bucket.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from wharfinger.errors import Corrupt, NameRefused, NotFound, StoreError, WharfingerError
from wharfinger.model import ObjectRef
from wharfinger.store import Copy, Listed, Put, disk
from wharfinger.store.journal import Deleted, Kept, Noted, deleted_line, located, note_line, object_line, shelved
from wharfinger.store.s3.client import PAGE, Client, Found, Taken
from wharfinger.store.s3.pages import Pages
from wharfinger.store.s3.reader import reader
from wharfinger.store.verify import Problem, Progress, Verification
from wharfinger.store.versions import Versions
from wharfinger.telemetry import crash

LARGE = 8 << 20
"""Bytes. A larger object goes out in parts, one such object after the other, and is never whole in memory."""

MOST_COPIED = 5 << 30
"""Bytes that S3 copies by itself (AmazonS3/latest/API/API_CopyObject.html); more pass through this process."""

SENDERS = 16
"""Requests under way at once."""

ON_THE_WAY_S = 3600.0
"""An object that is younger may have a page that is about to be written."""

README = """\
This is the store of a Wharfinger installation. It belongs to the program: please change nothing by hand.

objects/   the files in custody, each under its file_id (`wharf file ID` tells all about it)
journal/   what each of them is: bucket, key, version, size, SHA-256, customer (one JSON object a line)
again/     the same, of files that were put twice

`wharf store ls`, `wharf store cat` and `wharf store verify` read it. If the ledger is lost, `wharf ledger rebuild`
makes it anew from the journal.
"""


@dataclass(slots=True)
class _Element:
    """One object of a group on its way to its key."""

    ref: ObjectRef
    about: Mapping[str, Any]
    source: str  # path, or key, of its bytes so far
    place: str  # key of the object
    line: bytes = b""  # for the journal
    error: WharfingerError | None = None
    is_prepared: bool = False
    is_new: bool = False  # put by this group, or for it; else it was there before


class S3Store:
    """A Store in a bucket. Several processes, also on several machines, may use it at once, and threads may share an instance."""

    def __init__(self, client: Client, spool: Path | str, *, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._spool = Path(spool).absolute()
        self.staging = self._spool / "staging"
        self._clock = clock
        self._fresh_name = Versions(clock)
        self._crew = disk.Crew(SENDERS)
        self._ahead = ThreadPoolExecutor(4, thread_name_prefix="read-ahead")
        self._pages = Pages(client, self._crew, clock)
        self._shelf = Shelf(client, self._crew, clock)
        self._lay_out()

    def put(self, puts: Sequence[Put]) -> list[WharfingerError | None]:
        """See Store. A staged file stays until its object is kept."""
        group = [self._element(put) for put in puts]
        self._keep(group, self._send, alone=LARGE)
        disk.discard(element.source for element in group if element.error is None)
        return [element.error for element in group]

    def prepare(self, put: Put) -> None:
        """See Store. A large object gets its key, and no page tells of it yet."""
        if put.ref.size > LARGE:
            self._send(self._element(put))

    def copy(self, copies: Sequence[Copy]) -> list[WharfingerError | None]:
        """See Store. The service copies by itself; bytes pass through this process above 5 GiB only."""
        place = self._shelf.place
        group = [_Element(copy.ref, copy.about, place(copy.source), place(copy.ref)) for copy in copies]
        self._keep(group, self._duplicate, alone=MOST_COPIED)
        return [element.error for element in group]

    def open(self, ref: ObjectRef) -> BinaryIO:
        """See Store. Reads of the file raise StoreError."""
        place = self._shelf.place(ref)
        size = ref.size
        if not ref.sha256 or not size:
            found = self._client.find(place)
            if found is None:
                raise NotFound(f"{ref} is not in the store {self._client}")
            size = found.size
        try:
            return reader(partial(self._client.read, place), size, self._ahead)
        except NotFound as exc:
            raise NotFound(f"{ref} is not in the store {self._client}") from exc

    def head(self, refs: Sequence[ObjectRef]) -> list[int | None]:
        """See Store."""
        found = self._crew.each(self._client.find, [self._shelf.place(ref) for ref in refs])
        return [each.size if each else None for each in found]

    def delete(self, refs: Sequence[ObjectRef]) -> None:
        """See Store. The journal hears of it first, so that a deletion is never taken for a loss."""
        sizes = self.head(refs)
        there = {self._shelf.place(ref): ref for ref, size in zip(refs, sizes) if size is not None}
        if not there:
            return
        self._pages.append([deleted_line(ref, self._clock()) for ref in there.values()])
        crash.point("store.deleting")
        self._client.delete([*there])

    def list(self, bucket: str = "", prefix: str = "") -> Iterator[Listed]:
        """See Store. Damaged lines of the journal are passed over; `verify` reports them."""
        entries = (e for e in self._pages.read() if isinstance(e, Kept | Deleted) and e.ref.is_in(bucket, prefix))
        there = located(entries, self._shelf.place, self._shelf.present)
        return (entry.listed for entry, place in there if isinstance(entry, Kept) and place is not None)

    def verify(self, progress: Progress = lambda *_: None) -> Iterable[Problem]:
        """Read every object, and yield whatever does not fit the journal. For people; not part of Store."""
        problems = Verification(self._shelf, self._pages.read, progress)
        return (replace(problem, path=f"{self._client}/{problem.path}") for problem in problems)

    def note(self, notes: Sequence[Mapping[str, Any]]) -> None:
        """See Store."""
        if notes:
            self._pages.append([note_line(note, self._clock()) for note in notes])

    def notes(self) -> Iterator[Mapping[str, Any]]:
        """See Store."""
        return (entry.note for entry in self._pages.read() if isinstance(entry, Noted))

    def scratch(self) -> Path:
        """See Store."""
        path = self._spool / "scratch" / self._fresh_name()
        try:
            path.mkdir(0o700)
        except OSError as exc:
            raise disk.refusal(exc, f"{path} could not be made") from exc
        return path

    def close(self) -> None:
        """See Store. Ends the threads."""
        self._crew.close()
        self._ahead.shutdown(cancel_futures=True)

    def _lay_out(self) -> None:
        try:
            for path in (self.staging, self._spool / "scratch"):
                disk.make_missing(str(path))
        except OSError as exc:
            raise disk.refusal(exc, f"the directory {self._spool} could not be made") from exc
        if self._client.find("README.txt") is None:
            self._client.write("README.txt", README.encode())

    def _element(self, put: Put) -> _Element:
        place = self._shelf.place(put.ref)
        return _Element(put.ref, put.about, str(put.path), place, is_prepared=put.is_prepared)

    def _keep(self, group: Sequence[_Element], send: Callable[[_Element], None], *, alone: int) -> None:
        """
        First each object gets its key (`send`; those of over `alone` bytes one by one), then the journal tells of them. What was there
        before is success only with the same bytes. Errors are left in the elements.
        """
        waiting = [element for element in group if self._describe(element)]
        kept: dict[str, _Element] = {}  # by place
        while waiting:
            first: dict[str, _Element] = {}  # of each place
            for element in waiting:
                first.setdefault(element.place, element)
            turn = [*first.values()]
            self._crew.each(_answering(send), [element for element in turn if element.ref.size <= alone])
            for element in turn:
                if element.ref.size > alone:
                    _answering(send)(element)
                if element.error is None:
                    kept.setdefault(element.place, element)
            waiting = [element for element in waiting if first[element.place] is not element]
        crash.point("store.renamed")
        for is_new in (True, False):
            part = [element for element in kept.values() if element.is_new is is_new]
            try:
                self._pages.keep([element.line for element in part], again=not is_new)
            except StoreError as error:
                _fail(group, {element.place for element in part}, error)

    def _describe(self, element: _Element) -> bool:
        """Write the element's journal line; False if that cannot be done."""
        try:
            element.line = object_line(element.ref, element.about, self._clock())
        except NameRefused as refused:
            element.error = refused
        return element.error is None

    def _send(self, element: _Element) -> None:
        """Put a staged file. One that is gone, or is not what it should be, does no harm where its object is there already."""
        ref, place = element.ref, element.place
        try:
            if ref.size > LARGE:
                self._unless_there(element, lambda: self._upload(element, partial(_staged, element)))
            else:
                self._client.create(place, b"".join(_staged(element)), ref.sha256)
                element.is_new = True
        except Taken:
            self._compare(element, self._client.find(place))
        except (Corrupt, NotFound):
            found = self._client.find(place)
            if found is None:
                raise
            self._compare(element, found)

    def _duplicate(self, element: _Element) -> None:
        if element.ref.size > MOST_COPIED:
            self._unless_there(element, lambda: self._upload(element, partial(self._pieces, element)))
        else:
            self._unless_there(element, lambda: self._client.copy(element.source, element.place))

    def _unless_there(self, element: _Element, put: Callable[[], None]) -> None:
        found = self._client.find(element.place)
        if found:
            self._compare(element, found)
            element.is_new = element.is_prepared
            return
        try:
            put()
        except NotFound as exc:
            raise NotFound(f"what {element.ref} should be made of is not there") from exc
        element.is_new = True

    def _upload(self, element: _Element, pieces: Callable[[], Iterator[bytes]]) -> None:
        self._client.upload(element.place, element.ref.size, element.ref.sha256, pieces)

    def _pieces(self, element: _Element) -> Iterator[bytes]:
        """The bytes of the source, which is an object. In other threads, because obstore asks for them from within its own loop."""
        for start in range(0, element.ref.size, LARGE):
            end = min(start + LARGE, element.ref.size)
            yield self._ahead.submit(self._client.read, element.source, start, end).result()

    def _compare(self, element: _Element, found: Found | None) -> None:
        """Refuse the element if other bytes than it means have its key."""
        ref = element.ref
        if found is None:
            raise StoreError(f"{ref} was removed while it was put", fix="put it again")
        if found.size != ref.size or ref.sha256 not in ("", found.sha256):
            raise disk.taken(ref, found.size, found.sha256)


class Shelf:
    """The keys of the objects. See `verify.Shelf`."""

    def __init__(self, client: Client, crew: disk.Crew, clock: Callable[[], float]) -> None:
        self._client, self._crew, self._clock = client, crew, clock

    def place(self, ref: ObjectRef) -> str:
        """The object's key."""
        return f"objects/{shelved(ref)}"

    def present(self, places: Collection[str]) -> set[str]:
        """
        Which of these are there. What the journal tells of one after the other lies close together, so a listing finds it; what lies far
        away is looked up.
        """
        wanted = sorted(places)
        if not wanted:
            return set()
        found, last = set[str](), ""
        for n, (key, _) in enumerate(self._client.list("objects", after=wanted[0][:-1])):
            last = key
            if key in places:
                found.add(key)
            if key >= wanted[-1]:
                return found
            if n >= 2 * PAGE:
                break
        else:
            return found
        far = [place for place in wanted if place > last]
        return found | {place for place, each in zip(far, self._crew.each(self._client.find, far)) if each}

    def digests(self, places: Sequence[str]) -> Iterator[tuple[int, str] | Exception | None]:
        """Read each object, several at a time."""
        return iter(self._crew.each(self._digest, places))

    def folders(self) -> Iterator[tuple[str, list[str]]]:
        """Every folder with its objects, but for the youngest."""
        before = self._clock() - ON_THE_WAY_S
        old = (key for key, at in self._client.list("objects") if at.timestamp() < before)
        return ((folder, [*keys]) for folder, keys in groupby(old, lambda key: key.rpartition("/")[0]))

    def _digest(self, place: str) -> tuple[int, str] | Exception | None:
        try:
            found = self._client.find(place)
            if found is None:
                return None
            digest, at = hashlib.sha256(), 0
            while at < found.size:
                piece = self._client.read(place, at, min(at + LARGE, found.size))
                digest.update(piece)
                at += len(piece)
            return found.size, digest.hexdigest()
        except NotFound:
            return None
        except StoreError as error:
            return error


def _answering(send: Callable[[_Element], None]) -> Callable[[_Element], None]:
    """`send`, with its error left in the element."""

    def answer(element: _Element) -> None:
        try:
            send(element)
        except WharfingerError as error:
            element.error = error

    return answer


def _staged(element: _Element) -> Iterator[bytes]:
    """The bytes of a staged file; raises at its end where they are not those that were hashed."""
    ref, digest, size = element.ref, hashlib.sha256(), 0
    try:
        with open(element.source, "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size != ref.size:
                raise Corrupt(f"{ref}: its staged file has not {ref.size} bytes", fix="send it again")
            while piece := file.read(disk.PIECE):
                digest.update(piece)
                size += len(piece)
                if size == ref.size and ref.sha256 not in ("", digest.hexdigest()):
                    raise Corrupt(f"{ref}: its staged file has other bytes than were received", fix="send it again")
                yield piece
    except FileNotFoundError as exc:
        raise NotFound(f"{ref}: its staged file is gone", fix="send it again") from exc
    except OSError as exc:
        raise disk.refusal(exc, f"{ref}: its staged file {element.source} could not be read") from exc


def _fail(group: Iterable[_Element], places: Collection[str], error: StoreError) -> None:
    for element in group:
        if element.error is None and element.place in places:
            element.error = error
