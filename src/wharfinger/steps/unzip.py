"""
Reads a zip archive that somebody else made (PKWARE's APPNOTE 6.3.10), behind the guard.

The standard library reads the archive's directory; what it believes is checked here before the first byte of a member comes
out: declared sizes, ranges that overlap, names, kinds, encryption, methods, and that each local header tells the same story.
"""

from __future__ import annotations

import io
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from isal import isal_zlib

from wharfinger.errors import Rejected
from wharfinger.names import shown
from wharfinger.steps import Reader
from wharfinger.steps.guard import Guard
from wharfinger.steps.inflate import AGAIN, PIECE_OUT, inflate
from wharfinger.steps.name import member_fault

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
"""How an archive begins, and how one begins that has no members (APPNOTE 4.3.7 and 4.3.16)."""

DIRECTORY = 4 << 20
"""Most bytes that an archive's directory may have, since all of it is held in memory."""

_LOCAL = struct.Struct("<26xHH")  # APPNOTE 4.3.7: lengths of the name and of the extra field
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # APPNOTE 4.4.4: bits 0, 6 and 13
_UTF8 = 0x800  # bit 11
_UNIX, _MACOS = 3, 19  # APPNOTE 4.4.2.2
_DOCUMENTS = frozenset({"[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF"})  # OOXML; ODF and EPUB; Java
_FOREIGN = (BadZipFile, NotImplementedError, ValueError, EOFError, OverflowError, struct.error)


def open_zip(source: Reader) -> ZipFile:
    """The archive's directory, not yet checked. Raises Rejected (ARCHIVE_TRUNCATED, ARCHIVE_INCONSISTENT)."""
    try:
        archive = ZipFile(_Bounded(source))
    except _FOREIGN as exc:
        if not _has_end(source):
            what = f"the archive is cut off at byte {source.size:,}: its directory, which stands at the end, is missing"
            raise Rejected(what, code="ARCHIVE_TRUNCATED", fix=AGAIN) from exc
        raise _inconsistent(f"the archive's directory cannot be read: {exc}") from exc
    for entry in archive.infolist():
        if (
            not entry.flag_bits & _UTF8
            and (name := _name(entry.orig_filename.encode("cp437"), entry)) != entry.orig_filename
        ):
            entry.filename = entry.orig_filename = name
    return archive


def _name(raw: bytes, entry: ZipInfo) -> str:
    """A name is in UTF-8 where its entry says so, else in code page 437 (APPNOTE D.1). Unix and macOS write UTF-8 and do not say so."""
    if not entry.flag_bits & _UTF8 and entry.create_system in (_UNIX, _MACOS):
        with suppress(UnicodeDecodeError):
            return raw.decode()
    return raw.decode("utf-8" if entry.flag_bits & _UTF8 else "cp437", "replace")


def is_document(archive: ZipFile) -> bool:
    """Whether this is a document that merely uses the container: a spreadsheet, an e-book, a Java archive."""
    return not _DOCUMENTS.isdisjoint(archive.NameToInfo)


def members(archive: ZipFile, source: Reader, guard: Guard) -> list[ZipInfo]:
    """The files in the archive; folders and what macOS adds do not count. Raises Rejected if it is not sound, or has none."""
    entries = archive.infolist()
    guard.admit((entry.orig_filename, entry.file_size) for entry in entries)
    _check_ranges(entries, source, archive.start_dir)
    for entry in entries:
        _check(entry)
    _check_distinct(entries)
    found = [entry for entry in entries if not entry.is_dir() and not entry.filename.startswith("__MACOSX/")]
    if not found:
        raise Rejected("the archive has no file in it", code="ARCHIVE_EMPTY", fix="ask the sender what was meant")
    return found


def only_member(archive: ZipFile, source: Reader, guard: Guard) -> ZipInfo:
    """The one file in the archive, as `members` tells them. Raises Rejected if the archive is not sound, or has more."""
    found = members(archive, source, guard)
    if len(found) > 1:
        names = ", ".join(shown(entry.filename) for entry in found[:3]) + (", ..." if len(found) > 3 else "")
        raise Rejected(
            f"the archive has {len(found):,} files in it: {names}",
            code="ARCHIVE_MULTIPLE_MEMBERS",
            fix="call a pipeline for `each: member`, have one file sent in each archive, or deliver archives as they are",
        )
    return found[0]


def contents(entry: ZipInfo, source: Reader, guard: Guard) -> Iterator[bytes]:
    """The bytes of a member that `members` has checked. Raises Rejected, at the latest with the last of them."""
    source.seek(_local_header(entry, source)[0])
    stored = entry.compress_type == ZIP_STORED
    size = crc = 0
    for piece in (_stored if stored else inflate)(source, entry.compress_size, guard):
        size += len(piece)
        crc = isal_zlib.crc32(piece, crc)
        if size > entry.file_size:
            raise _inconsistent(f"{shown(entry.filename)} has more than the {entry.file_size:,} bytes it declares")
        yield piece
    if size < entry.file_size:
        raise _inconsistent(f"{shown(entry.filename)} has {size:,} of the {entry.file_size:,} bytes it declares")
    if crc != entry.CRC:
        what = f"{shown(entry.filename)} is damaged: its CRC-32 is {crc:08x}, the archive says {entry.CRC:08x}"
        raise Rejected(what, code="INTEGRITY_MISMATCH", fix=AGAIN)


def _stored(source: Reader, size: int, guard: Guard) -> Iterator[bytes]:
    while size and (piece := source.read(min(PIECE_OUT, size))):
        size -= len(piece)
        guard.grow(len(piece))
        yield piece


def _check(entry: ZipInfo) -> None:
    name = entry.orig_filename
    if why := member_fault(name[:-1] if name.endswith("/") else name):
        raise Rejected(f"the name {shown(name)} in the archive {why}", code="ARCHIVE_UNSAFE_PATH", fix=AGAIN)
    if entry.flag_bits & _ENCRYPTED:
        what = f"{shown(name)} in the archive is encrypted"
        raise Rejected(what, code="PASSWORD_REQUIRED", fix="ask the sender for an archive without a password")
    if entry.create_system == _UNIX and stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Rejected(f"{shown(name)} in the archive is a link or a device", code="ARCHIVE_UNSAFE_MEMBER", fix=AGAIN)
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise Rejected(
            f"{shown(name)} in the archive is compressed by method {entry.compress_type}; only 0 and 8 (deflate) are read",
            code="ARCHIVE_METHOD_UNSUPPORTED",
            fix="ask the sender for an ordinary zip archive",
        )
    if entry.is_dir() and entry.file_size:
        raise _inconsistent(f"the folder {shown(name)} in the archive has contents")


def _check_distinct(entries: Sequence[ZipInfo]) -> None:
    folded: set[str] = set()
    for entry in entries:
        name = entry.filename.rstrip("/").casefold()
        if name in folded:
            what = f"the archive has {shown(entry.filename)} twice, or once more in other letters"
            raise Rejected(what, code="ARCHIVE_DUPLICATE_ENTRY", fix=AGAIN)
        folded.add(name)


def _check_ranges(entries: Sequence[ZipInfo], source: Reader, directory: int) -> None:
    """No two entries may share bytes: Fifield, "A better zip bomb" (WOOT 2019), makes 281 TB of 10 MB by such sharing."""
    headers = [_local_header(entry, source) for entry in entries]
    ranges = sorted((e.header_offset, start + e.compress_size) for e, (start, _) in zip(entries, headers))
    if any(end > start for (_, end), (start, _) in pairwise([*ranges, (directory, directory)])):
        raise Rejected("entries of the archive overlap", code="ARCHIVE_OVERLAPPING_ENTRIES", fix=AGAIN)
    for entry, (_, name) in zip(entries, headers):
        if name != entry.orig_filename:
            raise _inconsistent(
                f"the archive's directory says {shown(entry.orig_filename)}, the member says {shown(name)}"
            )


def _local_header(entry: ZipInfo, source: Reader) -> tuple[int, str]:
    """Where the data of an entry begins, and the name before it."""
    source.seek(max(entry.header_offset, 0))
    header = source.read(_LOCAL.size)
    if entry.header_offset < 0 or len(header) < _LOCAL.size or not header.startswith(ZIP[0]):
        raise _inconsistent(f"{shown(entry.orig_filename)} does not lie where the archive's directory says")
    name_length, extra_length = _LOCAL.unpack(header)
    name = _name(source.read(name_length), entry)
    return entry.header_offset + _LOCAL.size + name_length + extra_length, name


def _has_end(source: Reader) -> bool:
    """Whether there is an end record (APPNOTE 4.3.16) where it may be: 22 bytes, then a comment of at most 65,535."""
    source.seek(max(source.size - 22 - 0xFFFF, 0))
    return ZIP[1] in source.read(22 + 0xFFFF)


def _inconsistent(what: str) -> Rejected:
    return Rejected(what, code="ARCHIVE_INCONSISTENT", fix=AGAIN)


class _Outside(BadZipFile, OSError):
    """A position before the beginning. The standard library expects an OSError in one place and knows none in others."""


class _Bounded:
    """A Reader for the standard library's use: it neither reads more than `DIRECTORY` at once nor leaves the file."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self.tell = source.tell

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise _Outside("it points before the beginning of the file")
        return self._source.seek(base + offset)

    def read(self, size: int = -1) -> bytes:
        if size > DIRECTORY:
            raise BadZipFile(f"it has {size:,} bytes; at most {DIRECTORY:,} are read")
        return self._source.read(DIRECTORY if size < 0 else size)
