"""
Backups of an installation: its ledger, and whatever of it lies in files of one machine; and back from one.

    DIR/objects/01K1F/9Z/01K1F9Z...     every object that any snapshot needs, once
    DIR/snapshots/NAME/ledger...        the ledger at one instant, as its Copies make it
    DIR/snapshots/NAME/journal/         the store's journal, taken after it: it describes every object that the ledger knows
    DIR/snapshots/NAME/keep/            the configuration, host keys and whatever else small lies in the data directory
    DIR/snapshots/NAME/manifest.json    what it holds; a snapshot has its name only when all of it is durable
    DIR/making/                         of no value: what an interrupted backup had begun

Each of the three (ledger, journal, objects) speaks of what is in the next, so they are copied in this order, while everything runs.
A store in a bucket is left to others: the manifest says so, and its place stays empty.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from wharfinger.errors import Busy, Corrupt, StoreError, UsageError
from wharfinger.ledger import Copies
from wharfinger.model import ObjectRef
from wharfinger.store import archive, disk
from wharfinger.telemetry import crash

WHOLE, PARTIAL = 1, 2
"""Formats of a manifest. That of a snapshot which has all parts is one that older versions restore."""

KEPT = ("at", "objects", "bytes", "new", "files", "configuration", "others")
"""Of a manifest, as a Snapshot has it."""

OTHERS = "keep/others/"
"""Where in a snapshot files are that belong elsewhere than into the data directory."""

LARGEST_KEPT = 1 << 20
"""Bytes. What lies in the data directory and is larger is no key."""

LEDGERS = r"(-wal|-shm|-journal|\.\d{8}T\d{6})?"
"""How the names of a ledger's files go on after its own."""

README = """\
Backups of a Wharfinger installation, made by `wharf backup`. Bring one back with `wharf restore` and the path of this directory, into
an empty place. Nothing here should be changed by hand: snapshots share the objects.
"""


@dataclass(frozen=True, slots=True)
class Left:
    """A part of an installation that is no file of this machine: others back it up."""

    part: str  # "store"
    where: str  # its URL, which has no secret in it
    by: str  # what a backup of it is
    back: str  # what brings it back


@dataclass(frozen=True, slots=True)
class Premises:
    """Where an installation keeps things. `others` are files, perhaps elsewhere, that belong to it: keys, certificates."""

    data: Path
    ledger: Path  # its file, or where it would have one
    store: Path  # the spool where it is left
    configuration: Path
    others: tuple[Path, ...] = ()
    left: tuple[Left, ...] = ()

    def has(self, part: str) -> bool:
        """Whether this part is in files of this machine."""
        return all(left.part != part for left in self.left)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One backup that is whole."""

    path: Path
    at: float  # epoch s
    objects: int
    bytes: int
    new: int  # objects that were copied for it
    files: int  # records in its ledger
    lost: int  # objects that the store should have had, and had not
    configuration: str  # where in `path` it is
    others: Mapping[str, str]  # where in `path` each is -> where it belongs
    left: tuple[Left, ...] = ()  # parts that are not in it
    # where in `path` each file of the ledger's copy is -> SHA-256, hex
    ledger: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As `--at` takes it."""
        return self.path.name


def snapshots(root: Path) -> list[Path]:
    """The whole ones, oldest first."""
    return sorted(path.parent for path in (root / "snapshots").glob("*/manifest.json"))


def read(path: Path) -> Snapshot:
    """What one of them holds. Raises StoreError."""
    manifest = path / "manifest.json"
    try:
        said = orjson.loads(manifest.read_bytes())
        if said["format"] not in (WHOLE, PARTIAL):
            raise StoreError(
                f"{manifest}: a backup of a newer version", fix="restore it with the wharfinger that made it"
            )
        figures = {name: said[name] for name in KEPT}
        left = tuple(Left(**each) for each in said.get("left", ()))
        return Snapshot(path, lost=len(said["lost"]), left=left, ledger=said.get("ledger", {}), **figures)
    except (ValueError, KeyError, TypeError) as exc:
        raise StoreError(f"{manifest} is damaged: {exc!r}", fix="use another snapshot: --at NAME") from exc


def back_up(
    premises: Premises,
    root: Path,
    ledger: Copies,
    *,
    seen: Callable[[int], object] = lambda _: None,
    clock: Callable[[], float] = time.time,
) -> Snapshot:
    """
    Make a snapshot in `root` while the installation runs. What an earlier snapshot has copied is not copied again. A crash leaves the
    earlier snapshots as they are, and a repeat goes on with the objects that are there. Raises StoreError where the disk refuses, Busy
    while another backup is made there, UsageError where it would lie in what it backs up or a restore is not done, LedgerError.
    """
    if premises.store in (root, *root.parents) or root == premises.data:
        raise UsageError(
            f"{root}: backups would lie in what they are of", fix="name a directory elsewhere, best on another disk"
        )
    archive.refuse_restoring(premises.data)
    disk.make_missing(str(root))
    with _alone(root):
        return _back_up(premises, root, ledger, seen, clock())


def _back_up(premises: Premises, root: Path, ledger: Copies, seen: Callable[[int], object], now: float) -> Snapshot:
    making, objects = _cleared(root / "making"), root / "objects"
    before = snapshots(root)
    (root / "README.txt").write_text(README)
    disk.make_missing(str(objects))
    disk.make_missing(str(root / "snapshots"))
    snapshot = making / "snapshot"
    snapshot.mkdir(0o700)
    copied, lost = archive.Copied(), list[ObjectRef]()
    names = ledger.copy(snapshot)
    crash.point("backup.ledger")
    if premises.has("store"):
        pages = before[-1] / "journal" if before else None
        archive.copy_journal(premises.store / "journal", snapshot / "journal", pages)
        crash.point("backup.journal")
        copied = archive.copy_objects(snapshot / "journal", premises.store / "objects", objects, making, seen=seen)
        lost += copied.lost
        lost += (ref for ref in ledger.kept(snapshot) if disk.size(archive.place(objects, ref)) != ref.size)
    kept = _keep(premises, snapshot, apart=root)
    lost = archive.settle_deletions(
        [*{str(ref): ref for ref in lost}.values()], premises.store / "journal", snapshot / "journal", time.time
    )
    crash.point("backup.objects")
    manifest = {
        "format": PARTIAL if premises.left else WHOLE,
        "at": now,
        "objects": copied.objects,
        "bytes": copied.bytes,
        "new": copied.new,
        "files": ledger.files(snapshot),
        "ledger": {name: archive.sealed(snapshot / name) for name in names},
        "lost": [str(ref) for ref in lost],
        "configuration": kept.pop(str(premises.configuration)),
        "others": {name: path for path, name in kept.items() if name.startswith(OTHERS)},
        "left": premises.left,
    }
    name = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(now))
    return _finish(snapshot, root / "snapshots" / name, manifest)


def _finish(snapshot: Path, target: Path, manifest: Mapping[str, Any]) -> Snapshot:
    """Give the snapshot its name, once all of it is durable."""
    written = snapshot / "manifest.json"
    written.write_bytes(orjson.dumps(manifest))
    disk.sync_file(str(written))
    disk.sync_directory(str(snapshot))
    while target.exists():  # two within one second
        target = target.with_name(f"{target.name}+")
    snapshot.rename(target)
    disk.sync_directory(str(target.parent))
    crash.point("backup.named")
    shutil.rmtree(target.parent.parent / "making", ignore_errors=True)
    return read(target)


def _keep(premises: Premises, snapshot: Path, *, apart: Path) -> dict[str, str]:
    """Copy what is small and not to be made anew; the answer says where in the snapshot each file is that belongs to the installation."""
    places = {}
    for path in sorted(_small(premises.data, {premises.store, premises.data / "run", apart})):
        if not _is_ledgers(path, premises.ledger):
            places[str(path)] = f"keep/data/{path.relative_to(premises.data)}"
    for n, path in enumerate((premises.configuration, *premises.others)):
        places.setdefault(str(path), f"{OTHERS}{n}-{path.name}")
    for whole, name in places.items():
        archive.copy_file(Path(whole), snapshot / name)
    return places


def _is_ledgers(path: Path, ledger: Path) -> bool:
    """Whether it is the ledger's file, one that SQLite has beside it, or one that was moved aside for it."""
    is_named_so = re.fullmatch(re.escape(ledger.name) + LEDGERS, path.name) is not None
    return is_named_so and path.parent.resolve() == ledger.parent.resolve()


def _small(folder: Path, apart: set[Path]) -> Iterator[Path]:
    for path in folder.iterdir():
        if path in apart or path.is_symlink():
            continue
        if path.is_dir():
            yield from _small(path, apart)
        elif path.is_file() and path.stat().st_size <= LARGEST_KEPT:
            yield path


def choose(root: Path, at: str) -> Snapshot:
    """The snapshot of this name, else the newest whose name begins so. Raises UsageError, StoreError."""
    there = snapshots(root)
    found = [path for path in there if path.name == at] or [path for path in there if path.name.startswith(at)]
    if not there:
        fix = "name the directory that wharf backup was given"
        raise UsageError(f"{root} has no snapshots", code="NOT_FOUND", fix=fix)
    if not found:
        names = ", ".join(path.name for path in there)
        raise UsageError(f"{root} has no snapshot {at}", code="NOT_FOUND", fix=f"--at with one of: {names}")
    return read(found[-1])


def restore(
    snapshot: Snapshot, premises: Premises, ledger: Copies, *, seen: Callable[[int], object] = lambda _: None
) -> Sequence[ObjectRef]:
    """
    Bring a snapshot back into an empty place: objects, journal, keys, and last the ledger, without which nothing serves. The answer are
    objects that the backup does not have, or has other bytes of. Interrupted, it is to be repeated with the same snapshot: it goes on.
    Raises UsageError where something is there that it did not bring, or where other parts are left to others than in the snapshot,
    Corrupt where the ledger's copy is not as it was, Incompatible where it is of a newer version.
    """
    _check_parts(snapshot, premises, ledger)
    _check_ledger(snapshot)
    ledger.check(snapshot.path)
    disk.make_missing(str(premises.data))
    _claim(snapshot, premises, ledger)
    lost = _restore_store(snapshot, premises.store, seen) if premises.has("store") else []
    for path, target in _kept(snapshot, premises):
        archive.copy_file(path, target)
    for name, elsewhere in snapshot.others.items():
        if not Path(elsewhere).exists():
            archive.copy_file(snapshot.path / name, Path(elsewhere))
    ledger.restore(snapshot.path)
    crash.point("restore.ledger")
    _mark(premises).unlink()
    disk.sync_directory(str(premises.data))
    return lost


def _restore_store(snapshot: Snapshot, store: Path, seen: Callable[[int], object]) -> Sequence[ObjectRef]:
    disk.make_missing(str(store / "objects"))
    making = _cleared(store / "scratch" / "restoring")
    root = snapshot.path.parent.parent
    copied = archive.copy_objects(snapshot.path / "journal", root / "objects", store / "objects", making, seen=seen)
    making.rmdir()
    crash.point("restore.objects")
    archive.copy_journal(snapshot.path / "journal", store / "journal")
    crash.point("restore.journal")
    return copied.lost


def _kept(snapshot: Snapshot, premises: Premises) -> Iterator[tuple[Path, Path]]:
    """What belongs into the data directory, but for the configuration in use: where it is in the snapshot, and where it is to be."""
    kept = snapshot.path / "keep" / "data"
    for path in sorted(kept.rglob("*")):
        target = premises.data / path.relative_to(kept)
        if path.is_file() and target != premises.configuration:
            yield path, target


def _check_parts(snapshot: Snapshot, premises: Premises, ledger: Copies) -> None:
    there, here = ({left.part: left.where for left in each.left} for each in (snapshot, premises))
    for part in sorted({*there} ^ {*here}):
        was, now = (places.get(part, "a part of the backup") for places in (there, here))
        raise _other(snapshot, part, f"the {part} was {was}, and by the configuration it is {now}")
    if not ledger.is_one(snapshot.path):
        raise _other(snapshot, "ledger", "its ledger is of another kind than that of the configuration")


def _other(snapshot: Snapshot, part: str, text: str) -> UsageError:
    return UsageError(
        f"{snapshot.name}: {text}",
        fix=f"name a {part} of the same kind in the configuration, or another snapshot: wharf backup DIR --list",
    )


def _check_ledger(snapshot: Snapshot) -> None:
    for name, sha256 in snapshot.ledger.items():
        path = snapshot.path / name
        if not path.is_file() or archive.sha256_of(path) != sha256:
            raise Corrupt(
                f"{path} is not what the backup has put there",
                code="BACKUP_CORRUPT",
                fix="use another snapshot: --at NAME",
            )


def _mark(premises: Premises) -> Path:
    return premises.data / archive.RESTORING


def _claim(snapshot: Snapshot, premises: Premises, ledger: Copies) -> None:
    """Say durably whose place this is, if it is empty or was claimed for the same snapshot. Raises UsageError."""
    mark = _mark(premises)
    if mark.exists():
        if mark.read_text() == snapshot.name:
            return
        raise UsageError(
            f"{premises.data}: a restore of {mark.read_text()} was begun here",
            code="NOT_EMPTY",
            fix=f"finish it with --at {mark.read_text()}, or name an empty place as `data`",
        )
    if there := ", ".join(_occupants(snapshot, premises, ledger)):
        raise UsageError(
            f"{premises.data}: an installation is here, or what is left of one: {there}",
            code="NOT_EMPTY",
            fix=f"move {there} away, or name empty places as `data`, `ledger` and `store`",
        )
    mark.write_text(snapshot.name)
    disk.sync_file(str(mark))
    disk.sync_directory(str(premises.data))


def _occupants(snapshot: Snapshot, premises: Premises, ledger: Copies) -> Iterator[str]:
    yield from ledger.occupants()
    if not archive.is_empty(premises.store / "objects"):
        yield str(premises.store / "objects")
    for path, target in _kept(snapshot, premises):
        if target.exists() and target.read_bytes() != path.read_bytes():
            yield str(target)


def _cleared(folder: Path) -> Path:
    """The directory, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    disk.make_missing(str(folder))
    return folder


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One backup at a time; the lock goes with the process."""
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise Busy(f"{root}: another backup is being made there", fix="wait for it to end") from exc
        yield
