"""What the store's crash tests run in a process of its own: `python store_scenes.py SCENE ROOT`. Each prints JSON."""

from __future__ import annotations

import errno
import itertools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from rig import faultdisk
from wharfinger.errors import WharfingerError
from wharfinger.model import ObjectRef, derive
from wharfinger.store import Copy, Delivery, Put, directory, disk, journal
from wharfinger.store.directory import DirectoryTarget
from wharfinger.store.folders import Folders
from wharfinger.store.local import LocalStore
from wharfinger.store.staging import Staging
from wharfinger.store.versions import Versions

START = 1_753_919_950.0  # just before a midnight
count = itertools.count()


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


class Harbour:
    """A store with all that goes with it."""

    def __init__(self, root: Path) -> None:
        self.clock = Clock()
        self.fresh_version = Versions(self.clock)
        self.store = LocalStore(root / "store", clock=self.clock)
        self.staging = Staging(root / "store" / "staging", self.clock)
        (root / "out").mkdir(exist_ok=True)
        disk.sync_directory(str(root))
        self.target = DirectoryTarget(self.store, "outgoing", root / "out", clock=self.clock)

    def stage(self, data: bytes) -> Put:
        staged = self.staging.create()
        staged.write(0, data)
        size, digest = staged.finish()
        staged.close()
        return Put(ObjectRef("in", f"a/{next(count)}", self.fresh_version(), size, digest), Path(staged.path), {"n": 1})

    def some(self, many: int) -> list[Put]:
        return [self.stage(os.urandom(300)) for _ in range(many)]


def answers(given: list[WharfingerError | None]) -> list[str]:
    return [error.code if error else "kept" for error in given]


def said(word: str, ref: ObjectRef | Delivery) -> None:
    faultdisk.mark(json.dumps({word: asdict(ref)}, default=str))


def power(root: Path) -> object:
    """Puts, copies, deletes, notes and deliveries, each marked in the log as soon as it is acknowledged."""
    harbour = Harbour(root)
    store, target = harbour.store, harbour.target
    for turn in range(6):
        harbour.clock.now += 30
        puts = harbour.some(4)
        refs = [put.ref for put in puts]
        copies = [
            Copy(ref, ObjectRef("out", ref.key, derive(ref.version, "1"), ref.size, ref.sha256)) for ref in refs[:2]
        ]
        assert store.put(puts) == [None] * 4
        for ref in refs:
            said("kept", ref)
        assert store.copy(copies) == [None] * 2
        for copy in copies:
            said("kept", copy.ref)
        deliveries = [
            Delivery(ref, f"{turn % 2}/{n}", derive(ref.version, "2"), ref.size, ref.sha256)
            for n, ref in enumerate(refs)
        ]
        for delivery in deliveries:
            said("delivering", delivery)
        assert not any(isinstance(each, WharfingerError) for each in target.deliver(deliveries))
        for delivery in deliveries:
            said("delivered", delivery)
        store.note([{"turn": turn}])
        faultdisk.mark(json.dumps({"noted": turn}))
        faultdisk.mark(json.dumps({"deleting": asdict(refs[3])}))
        store.delete([refs[3]])
        said("deleted", refs[3])
    return "done"


def park(root: Path) -> object:
    """An upload that is set aside, resumed and set aside again."""
    harbour = Harbour(root)
    staged = harbour.staging.create()
    for size in (1000, 2500):
        staged.write(staged.size, os.urandom(size - staged.size))
        staged.write(staged.size + 500, b"after a gap")
        staged.park()
        faultdisk.mark(
            json.dumps(
                {
                    "parked": {
                        "id": staged.id,
                        "size": size,
                        "sha256": sha256(Path(staged.path).read_bytes()).hexdigest(),
                    }
                }
            )
        )
        staged = harbour.staging.resume(staged.id)
    return "done"


def trouble(root: Path, call: str, part: str, number: str) -> object:
    """One group meets one fault of the disk; the next group does not."""
    harbour = Harbour(root)
    harbour.store.put(harbour.some(1))
    harbour.clock.now += 60 if call == "mkdir" else 0
    first, second = harbour.some(4), harbour.some(2)
    faultdisk.fail(call, part if part != "STAGED" else first[2].path.name, getattr(errno, number))
    answer = harbour.store.put(first)
    return {
        "first": answers(answer),
        "fixes": [error.fix for error in answer if error],
        "there": harbour.store.head([put.ref for put in first]),
        "staged": [put.path.exists() for put in first],
        "again": answers(harbour.store.put(first)),
        "second": answers(harbour.store.put(second)),
        "listed": len(list(harbour.store.list())),
        "problems": [problem.message for problem in harbour.store.verify()],
    }


def full_staging(root: Path) -> object:
    """The disk is full while an upload is written, and has room again."""
    harbour = Harbour(root)
    staged = harbour.staging.create()
    staged.write(0, b"abcd")
    faultdisk.fail("write", "staging", errno.ENOSPC)
    try:
        staged.write(4, b"efgh")
    except WharfingerError as error:
        code = error.code
    size = staged.size
    staged.write(4, b"efgh")
    return {"code": code, "size": size, "whole": staged.finish()[1] == sha256(b"abcdefgh").hexdigest()}


def undelivered(root: Path, call: str, part: str, number: str, after: str) -> object:
    """One group of deliveries meets one fault of the disk, and is repeated."""
    harbour = Harbour(root)
    puts = harbour.some(3)
    harbour.store.put(puts)
    deliveries = [
        Delivery(put.ref, f"{n}.csv", derive(put.ref.version, "1"), put.ref.size, put.ref.sha256)
        for n, put in enumerate(puts)
    ]
    faultdisk.fail(call, part, getattr(errno, number), int(after))
    outcome = [
        each.code if isinstance(each, WharfingerError) else "delivered" for each in harbour.target.deliver(deliveries)
    ]
    visible = sorted(path.name for path in (root / "out").iterdir())
    again = [
        each.code if isinstance(each, WharfingerError) else "delivered" for each in harbour.target.deliver(deliveries)
    ]
    return {
        "first": outcome,
        "visible": visible,
        "again": again,
        "at_last": sorted(path.name for path in (root / "out").iterdir()),
    }


def groups(root: Path) -> object:
    """Groups of puts, copies and deliveries without end, each told to the parent once it is acknowledged, until a crash point kills."""
    harbour = Harbour(root)
    for _ in range(10):
        harbour.clock.now += 20
        puts = harbour.some(8)
        told = {"trying": [asdict(put.ref) for put in puts]}
        print(json.dumps(told), flush=True)
        harbour.store.put(puts)
        print(json.dumps({"kept": [asdict(put.ref) for put in puts]}), flush=True)
        deliveries = [
            Delivery(put.ref, f"{next(count)}", put.ref.version, put.ref.size, put.ref.sha256) for put in puts
        ]
        print(json.dumps({"delivering": [asdict(each) for each in deliveries]}, default=str), flush=True)
        harbour.target.deliver(deliveries)
        print(json.dumps({"delivered": [asdict(each) for each in deliveries]}, default=str), flush=True)
    return "done"


class Everything(set[tuple[str, ...]]):
    """A set that has whatever it is asked for."""

    def __contains__(self, each: object) -> bool:
        return True


class ForgetfulFolders(Folders):
    """Makes folders without a sync of the names that they get."""

    def make(self, parts: tuple[str, ...]) -> int:
        self._durable = Everything()
        return super().make(parts)


FORGOTTEN: dict[str, Callable[[], object]] = {
    "bytes": lambda: setattr(disk, "sync", lambda _: None),
    "journal": lambda: setattr(journal, "sync", lambda _: None),
    "journal names": lambda: setattr(journal, "sync_directory", lambda _: None),
    "names": lambda: setattr(disk, "sync_directory", lambda _: None),
    "delivered names": lambda: setattr(DirectoryTarget, "_sync_folders", lambda *_: None),
    "delivered folders": lambda: setattr(directory, "Folders", ForgetfulFolders),
}
"""Syncs that a careless change might lose."""

if __name__ == "__main__":
    scene, root, *rest = sys.argv[1:]
    FORGOTTEN.get(os.environ.get("FORGET", ""), lambda: None)()
    print(json.dumps(globals()[scene](Path(root), *rest)))
