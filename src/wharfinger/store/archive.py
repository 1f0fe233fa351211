"""
Copies of a local store's objects and journal, for a backup and back from one.

An object never changes, so a copy that is there is right and is passed over; a page of the journal only grows. What is copied is
durable before it has its name, and held against its SHA-256 on the way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from wharfinger.errors import Corrupt, UsageError
from wharfinger.model import ObjectRef, file_id
from wharfinger.store import disk
from wharfinger.store.journal import Deleted, Journal, Kept, Noted, deleted_line, located, note_line, shelved

RESTORING = "restoring"
"""The file in the data directory that is there until a restore is done. It has the name of the snapshot."""

GROUP = 256
"""Objects that share the syncs of their directories."""


@dataclass(slots=True)
class Copied:
    """What a copy came to. `lost`: kept and never deleted, but the source does not have it, or has other bytes."""

    objects: int = 0  # are there now
    bytes: int = 0
    new: int = 0  # of these: copied this time
    lost: list[ObjectRef] = field(default_factory=list)


def place(root: Path | str, ref: ObjectRef) -> str:
    """Where the object's file is below a directory of objects."""
    return f"{root}/{shelved(ref)}"


def copy_journal(source: Path, target: Path, before: Path | None = None) -> None:
    """
    Copy every page of the journal as far as it has come, durably. A page that has not grown since it was copied to `before` becomes
    a second name of that copy.
    """
    disk.make_missing(str(target))
    for page in sorted(source.glob("*/*.ndjson")):
        name = page.relative_to(source)
        disk.make_directories(str((target / name).parent), below=str(target))
        _copy_page(str(page), str(target / name), str(before / name) if before else "")
    for folder in (target, *target.iterdir()):
        disk.sync_directory(str(folder))


def _copy_page(page: str, copy: str, before: str) -> None:
    disk.remove([copy])
    if before and disk.size(before) == disk.size(page) and disk.link(before, copy):
        return
    disk.copy(page, copy)


def copy_objects(
    journal: Path, source: Path, target: Path, making: Path, *, seen: Callable[[int], object] = lambda _: None
) -> Copied:
    """
    Copy every object that the pages in `journal` describe from one directory of objects to another; `making` is an empty directory on
    the target's filesystem. `seen` hears of the bytes, group by group. Raises StoreError where the target refuses.
    """
    copied, missing = Copied(), dict[str, ObjectRef]()
    crew = disk.Crew()
    try:
        there = _there(located(Journal(journal).read(), lambda ref: place(source, ref), _present), missing)
        while group := list(islice(there, GROUP)):
            _copy_group(group, source, target, making, crew, copied)
            seen(sum(ref.size for ref in group))
    finally:
        crew.close()
    copied.lost += missing.values()
    return copied


def _present(places: Collection[str]) -> list[str]:
    return [each for each in places if os.path.exists(each)]


def _there(entries: Iterable[tuple[object, str | None]], missing: dict[str, ObjectRef]) -> Iterator[ObjectRef]:
    """The objects that the source has; those that it should have are left in `missing`, by id."""
    for entry, path in entries:
        if isinstance(entry, Deleted):
            missing.pop(_id(entry.ref), None)
        elif isinstance(entry, Kept) and path is not None:
            yield entry.ref
        elif isinstance(entry, Kept) and entry.sure:
            missing[_id(entry.ref)] = entry.ref


def _copy_group(
    group: Sequence[ObjectRef], source: Path, target: Path, making: Path, crew: disk.Crew, copied: Copied
) -> None:
    wanted = [ref for ref in group if disk.size(place(target, ref)) != ref.size]
    folders = sorted({os.path.dirname(place(target, ref)) for ref in wanted})
    for folder in folders:
        disk.make_directories(folder, below=str(target))
    answers = crew.each(lambda ref: _copy_one(ref, source, target, making), wanted)
    crew.each(disk.sync_directory, folders)
    for ref, is_whole in zip(wanted, answers):
        copied.new += is_whole
        if not is_whole:
            copied.lost.append(ref)
    copied.objects += len(group) - answers.count(False)
    copied.bytes += sum(ref.size for ref in group)


def _copy_one(ref: ObjectRef, source: Path, target: Path, making: Path) -> bool:
    """False where the source does not have these bytes. Raises StoreError."""
    staged = f"{making}/{_id(ref)}"
    disk.remove([staged])
    try:
        disk.copy(place(source, ref), staged)
        _check(ref, staged)
        os.replace(staged, place(target, ref))
    except (FileNotFoundError, Corrupt):
        disk.remove([staged])
        return False
    except OSError as exc:
        raise disk.refusal(exc, f"{ref} could not be copied to {target}") from exc
    return True


def _check(ref: ObjectRef, path: str) -> None:
    with open(path, "rb", buffering=0) as file:
        size, sha256 = disk.digest(file.fileno())
    if size != ref.size or ref.sha256 not in ("", sha256):
        raise disk.mismatch(str(ref), size, sha256, ref.size, ref.sha256)


def settle_deletions(
    lost: Sequence[ObjectRef], live: Path, journal: Path, clock: Callable[[], float]
) -> list[ObjectRef]:
    """
    Of objects that were not there to be copied, those that the `live` journal by now calls deleted: the copied journal is told so too,
    and of files that were purged it gets the note. The others are the answer: they are lost.
    """
    if not lost:
        return []
    ids = {_id(ref) for ref in lost}
    deleted, notes = set(), {}
    for entry in Journal(live).read():
        if isinstance(entry, Deleted) and _id(entry.ref) in ids:
            deleted.add(_id(entry.ref))
        elif isinstance(entry, Noted) and "purged" in entry.note and entry.note.get("file_id") in ids:
            notes[entry.note["file_id"]] = note_line(entry.note, clock())
    lines = [*notes.values(), *(deleted_line(ref, clock()) for ref in lost if _id(ref) in deleted)]
    if lines:
        page = Journal(journal, clock)
        page.append(lines)
        page.close()
    return [ref for ref in lost if _id(ref) not in deleted]


def copy_file(source: Path, target: Path) -> None:
    """A durable copy under its name, with the same mode; whatever was there is replaced. Raises StoreError."""
    staged = f"{target}.new"
    try:
        disk.make_missing(str(target.parent))
        disk.remove([staged])
        disk.copy(str(source), staged)
        os.chmod(staged, source.stat().st_mode & 0o777)
        os.replace(staged, target)
        disk.sync_directory(str(target.parent))
    except OSError as exc:
        with suppress(OSError):
            disk.remove([staged])
        raise disk.refusal(exc, f"{source} could not be copied to {target}") from exc


def refuse_restoring(data: Path) -> None:
    """Raises UsageError where a restore into this data directory was begun and is not done: whoever wrote there would lose it."""
    mark = data / RESTORING
    if mark.exists():
        raise UsageError(
            f"{data}: a restore of {mark.read_text()} was begun here and is not done",
            code="RESTORE_UNFINISHED",
            fix=f"go on with it: wharf restore DIR --at {mark.read_text()}",
        )


def sealed(path: Path) -> str:
    """Make a file durable, name and all; the answer is its SHA-256 (hex)."""
    disk.sync_file(str(path))
    disk.sync_directory(str(path.parent))
    return sha256_of(path)


def sha256_of(path: Path) -> str:
    """Hex."""
    with path.open("rb", buffering=0) as file:
        return disk.digest(file.fileno())[1]


def is_empty(objects: Path) -> bool:
    """Whether no object is in this directory of objects."""
    return not any(files for _, _, files in os.walk(objects))


def _id(ref: ObjectRef) -> str:
    return file_id(ref.bucket, ref.key, ref.version)
