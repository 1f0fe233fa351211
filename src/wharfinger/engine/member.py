"""The files in an archive: it is read through first, so that a broken one has no effect; then they are taken out in small groups."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wharfinger.engine.input import Input
from wharfinger.errors import Rejected
from wharfinger.ledger import MANY
from wharfinger.names import shown
from wharfinger.steps.guard import Guard, Limits
from wharfinger.steps.sniff import HEAD, media_type
from wharfinger.steps.unzip import ZIP, contents, is_document, members, open_zip

GROUP = 64 << 20
"""Bytes after which a group is full, so that scratch never holds much of an archive."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file that was taken out of an archive, and lies in scratch."""

    n: int  # its place in the archive, from 0
    member: str  # its path there
    path: Path
    size: int  # bytes
    sha256: str  # hex
    media_type: str

    @property
    def name(self) -> str:
        """Without its folders."""
        return self.member.rpartition("/")[2]


def check(source: Input, most: int, room: Path) -> None:
    """Read the whole archive, so that what is taken out of it later is sound. Raises Rejected, also for more than `most` members."""
    head = source.read(4)
    source.seek(0)
    if not head.startswith(ZIP) or is_document(archive := open_zip(source)):
        what = f"{shown(source.name)} is no zip archive, and the pipeline goes on with each member of one"
        raise Rejected(what, code="TYPE_MISMATCH", fix="have zip archives sent, or let the route or a `when` pick them")
    guard = _guard(source, most, room)
    found = members(archive, source, guard)
    if len(found) > most:
        raise Rejected(
            f"the archive has {len(found):,} files in it; the pipeline takes at most {most:,}",
            code="ARCHIVE_EXPANSION_LIMIT",
            fix="raise `members` of the step if such files are to be expected",
        )
    for entry in found:
        for _ in contents(entry, source, guard):
            pass


def groups(source: Input, most: int, room: Path) -> Iterator[list[Member]]:
    """The members of an archive that `check` has found sound, at most MANY at a time; each group lies in `room` until it is put."""
    guard, group, size = _guard(source, most, room), list[Member](), 0
    for n, entry in enumerate(members(open_zip(source), source, guard)):
        path, digest, head = room / f"{n}", hashlib.sha256(), b""
        with path.open("wb") as file:
            for piece in contents(entry, source, guard):
                head = (head + piece)[:HEAD] if len(head) < HEAD else head
                digest.update(piece)
                file.write(piece)
        kind = media_type(head, entry.file_size)
        group.append(Member(n, entry.filename, path, entry.file_size, digest.hexdigest(), kind))
        size += entry.file_size
        if len(group) == MANY or size >= GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def _guard(source: Input, most: int, room: Path) -> Guard:
    limits = Limits(entries=max(2 * most, Limits().entries))  # folders are entries as well
    return Guard(limits, source.size, room, code="ARCHIVE_EXPANSION_LIMIT")
