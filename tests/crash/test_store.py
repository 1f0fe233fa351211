"""The store on a disk that fails, loses its power, or loses its process by kill -9. Each suite is shown to notice a seeded fault."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from rig import faultdisk
from wharfinger.model import ObjectRef, file_id
from wharfinger.store import Delivery
from wharfinger.store.directory import DirectoryTarget
from wharfinger.store.local import LocalStore
from wharfinger.store.names import OURS
from wharfinger.store.staging import Staging

SCENES = Path(__file__).with_name("store_scenes.py")
FORGOTTEN = ["bytes", "journal", "journal names", "names", "delivered names", "delivered folders"]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faultdisk.library(tmp_path_factory.mktemp("faultdisk"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def play(library: Path, root: Path, log: Path, *scene: str, **env: str) -> Any:
    done = faultdisk.run(library, SCENES, scene[0], str(root), *scene[1:], root=root, log=log, **env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def place(ref: dict[str, Any]) -> str:
    name = file_id(ref["bucket"], ref["key"], ref["version"])
    return f"store/objects/{name[:5]}/{name[5:7]}/{name}"


def journal_lines(files: dict[str, bytes]) -> list[dict[str, Any]]:
    """Every whole line of the journals."""
    pages = [data for path, data in files.items() if path.startswith("store/journal/")]
    return [json.loads(line) for page in pages for line in page.splitlines(keepends=True) if line.endswith(b"\n")]


class Promises:
    """What the process was told to be durable, and so must hold however the power is cut afterwards."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Any]] = {}  # by path
        self.delivered: dict[
            str, set[str]
        ] = {}  # path -> SHA-256: the last acknowledged, and those being delivered since
        self.deleted: set[str] = set()
        self.notes: list[int] = []
        self.parked: dict[str, Any] = {}

    def hear(self, line: str) -> None:
        if not line.startswith("mark "):
            return
        match json.loads(line.removeprefix("mark ")):
            case {"kept": ref}:
                self.kept[place(ref)] = ref
            case {"delivered": delivery}:
                self.delivered[f"out/{delivery['key']}"] = {delivery["sha256"]}
            case {"delivering": delivery}:
                if f"out/{delivery['key']}" in self.delivered:
                    self.delivered[f"out/{delivery['key']}"].add(delivery["sha256"])
            case {"deleting": ref}:
                del self.kept[place(ref)]
            case {"deleted": ref}:
                self.deleted.add(place(ref))
            case {"noted": turn}:
                self.notes.append(turn)
            case {"parked": parked}:
                self.parked = parked

    def broken(self, disk: faultdisk.Disk) -> Iterator[str]:
        files = dict(disk.files())
        lines = journal_lines(files)
        described = {place(line) for line in lines if "bucket" in line}
        for path, ref in self.kept.items():
            if sha256(files.get(path, b"")).hexdigest() != ref["sha256"]:
                yield f"{path} is lost"
            if path not in described:
                yield f"{path} is not described"
        yield from (f"{path} came back" for path in self.deleted & files.keys())
        for path, digests in self.delivered.items():
            if sha256(files.get(path, b"")).hexdigest() not in digests:
                yield f"{path} is lost"
        if [line["note"]["turn"] for line in lines if "note" in line][: len(self.notes)] != self.notes:
            yield "a note is lost"
        yield from (
            f"{path} has its name without its line" for path in files if "/objects/" in path and path not in described
        )


def broken_promises(root: Path, log: Path) -> list[str]:
    """Cut the power after every event, and compare what is left with what was promised by then."""
    promises, found, checked = Promises(), list[str](), 0
    for line, disk in faultdisk.replay(root, log):
        promises.hear(line)
        if line.startswith(("mark ", "names ", "data ")):
            checked += 1
            found.extend(promises.broken(disk))
    assert checked > 100
    assert len(promises.kept) > 20
    return found


def test_what_was_acknowledged_survives_a_power_cut_at_any_moment(library: Path, root: Path, log: Path) -> None:
    play(library, root, log, "power")
    assert broken_promises(root, log) == []


@pytest.mark.parametrize("forgotten", FORGOTTEN)
def test_any_sync_that_is_forgotten_breaks_a_promise(library: Path, root: Path, log: Path, forgotten: str) -> None:
    play(library, root, log, "power", FORGET=forgotten)
    assert broken_promises(root, log) != []


def test_a_store_opens_and_verifies_after_a_power_cut(library: Path, root: Path, log: Path, tmp_path: Path) -> None:
    play(library, root, log, "power")
    promises = Promises()
    for n, (line, disk) in enumerate(faultdisk.replay(root, log)):
        promises.hear(line)
        if n % 25 == 24 and promises.kept:
            left = tmp_path / f"left{n}"
            for path, data in disk.files():
                (left / path).parent.mkdir(parents=True, exist_ok=True)
                (left / path).write_bytes(data)
            store = LocalStore(left / "store")
            listed = [place({"bucket": e.ref.bucket, "key": e.ref.key, "version": e.ref.version}) for e in store.list()]
            assert promises.kept.keys() <= set(listed)
            assert len(listed) == len(set(listed))
            assert list(store.verify()) == []


def test_bytes_and_line_are_durable_before_an_object_has_its_name(library: Path, root: Path, log: Path) -> None:
    play(library, root, log, "power")
    objects = 0
    for line, disk in faultdisk.replay(root, log):
        match line.split(" "):
            case ["add", _, name, inode] if len(name) == 26:
                objects += 1
                assert disk.node(inode) in disk.data
                described = journal_lines(dict(disk.files()))
                assert name in {
                    file_id(each["bucket"], each["key"], each["version"]) for each in described if "bucket" in each
                }
            case ["add", _, _, inode]:
                assert disk.node(inode) in disk.data
    assert objects == 36


def test_what_was_parked_survives_a_power_cut_at_any_moment(
    library: Path, root: Path, log: Path, tmp_path: Path
) -> None:
    play(library, root, log, "park")
    promises = Promises()
    for n, (line, disk) in enumerate(faultdisk.replay(root, log)):
        promises.hear(line)
        left = tmp_path / f"left{n}"
        left.mkdir()
        for path, data in disk.files():
            if path.startswith("store/staging/"):
                (left / path.removeprefix("store/staging/")).write_bytes(data)
        staging = Staging(left)
        staging._boot = "another0"
        sizes = {}
        for id in staging.ids():
            staged = staging.resume(id)
            sizes[id] = (staged.size, staged.finish()[1])
            staged.close()
        if promises.parked:
            parked = promises.parked
            size, digest = sizes[parked["id"]]
            assert size >= parked["size"]
            assert size > parked["size"] or digest == parked["sha256"]
        else:
            assert all(digest != sha256(bytes(size)).hexdigest() or not size for size, digest in sizes.values())


@pytest.mark.parametrize("number", ["EIO", "ENOSPC"])
def test_a_file_that_cannot_be_synced_is_refused_alone_and_never_trusted_again(
    library: Path, root: Path, log: Path, number: str
) -> None:
    seen = play(library, root, log, "trouble", "sync", "STAGED", number)
    code = {"EIO": "DISK_FAILED", "ENOSPC": "NO_SPACE"}[number]
    assert seen["first"] == ["kept", "kept", code, "kept"]
    assert seen["there"] == [300, 300, None, 300]
    assert seen["staged"] == [False] * 4
    assert seen["again"] == ["kept", "kept", "NOT_FOUND", "kept"]
    assert all(seen["fixes"])
    assert (seen["second"], seen["listed"], seen["problems"]) == (["kept"] * 2, 6, [])


@pytest.mark.parametrize(
    ("call", "part", "number"),
    [
        ("write", "journal", "ENOSPC"),
        ("sync", "ndjson", "EIO"),
        ("mkdir", "objects", "ENOSPC"),
        ("mkdir", "journal", "ENOSPC"),
    ],
)
def test_a_group_that_cannot_be_described_is_refused_whole_and_may_be_put_again(
    library: Path, root: Path, log: Path, call: str, part: str, number: str
) -> None:
    seen = play(library, root, log, "trouble", call, part, number)
    code = {"EIO": "DISK_FAILED", "ENOSPC": "NO_SPACE"}[number]
    assert seen["first"] == [code] * 4
    assert seen["there"] == [None] * 4
    assert seen["staged"] == [True] * 4
    assert (seen["again"], seen["second"], seen["listed"], seen["problems"]) == (["kept"] * 4, ["kept"] * 2, 7, [])


def test_a_name_that_cannot_be_given_is_refused_alone_and_may_be_put_again(
    library: Path, root: Path, log: Path
) -> None:
    seen = play(library, root, log, "trouble", "rename", "objects", "ENOSPC")
    assert seen["first"] == ["NO_SPACE", "kept", "kept", "kept"]
    assert seen["there"] == [None, 300, 300, 300]
    assert (seen["again"], seen["listed"], seen["problems"]) == (["kept"] * 4, 7, [])


def test_names_that_cannot_be_synced_are_taken_back(library: Path, root: Path, log: Path) -> None:
    seen = play(library, root, log, "trouble", "sync", "objects", "EIO")
    assert seen["first"] == ["DISK_FAILED"] * 4
    assert seen["there"] == [None] * 4
    assert (seen["second"], seen["listed"], seen["problems"]) == (["kept"] * 2, 3, [])


def test_an_upload_that_met_a_full_disk_can_go_on_when_there_is_room(library: Path, root: Path, log: Path) -> None:
    assert play(library, root, log, "full_staging") == {"code": "NO_SPACE", "size": 4, "whole": True}


@pytest.mark.parametrize(
    ("fault", "first"),
    [
        (("write", OURS, "ENOSPC", "1"), ["delivered", "NO_SPACE", "delivered"]),
        (("sync", OURS, "EIO", "0"), None),
        (("rename", ".csv", "EIO", "1"), ["delivered", "DISK_FAILED", "delivered"]),
    ],
)
def test_a_delivery_that_fails_is_invisible_and_may_be_repeated(
    library: Path, root: Path, log: Path, fault: tuple[str, ...], first: list[str] | None
) -> None:
    seen = play(library, root, log, "undelivered", *fault)
    assert seen["first"] == first or sorted(seen["first"]) == ["DISK_FAILED", "delivered", "delivered"]
    assert seen["visible"] == [f"{n}.csv" for n, answer in enumerate(seen["first"]) if answer == "delivered"]
    assert seen["again"] == ["delivered"] * 3
    assert seen["at_last"] == ["0.csv", "1.csv", "2.csv"]


def test_deliveries_whose_folder_cannot_be_synced_are_not_acknowledged(library: Path, root: Path, log: Path) -> None:
    seen = play(library, root, log, "undelivered", "sync", "/out", "EIO", "3")
    assert seen["first"] == ["DISK_FAILED"] * 3
    assert seen["again"] == ["delivered"] * 3


def killed(root: Path, point: str) -> list[dict[str, Any]]:
    """Run groups until the crash point kills the process; what it had said by then."""
    env = {**os.environ, "WHARF_CRASH": point, "PYTHONPATH": os.pathsep.join([str(SCENES.parents[1]), *sys.path])}
    done = subprocess.run([sys.executable, SCENES, "groups", root], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def refs(said: list[dict[str, Any]], word: str) -> list[ObjectRef]:
    return [ObjectRef(**ref) for each in said for ref in each.get(word, [])]


@pytest.mark.parametrize("nth", [1, 4])
@pytest.mark.parametrize("point", ["store.synced", "store.renamed"])
def test_a_killed_put_loses_nothing_acknowledged_and_shows_nothing_half(root: Path, point: str, nth: int) -> None:
    said = killed(root, f"{point}:{nth}")
    kept, tried = refs(said, "kept"), refs(said, "trying")
    assert len(tried) == len(kept) + 8 == nth * 8
    store = LocalStore(root / "store")
    listed = [each.ref for each in store.list()]
    assert listed[: len(kept)] == kept
    assert set(listed) - set(kept) == (set(tried[-8:]) if point == "store.renamed" else set())
    assert store.head(listed) == [ref.size for ref in listed]
    assert list(store.verify()) == []


@pytest.mark.parametrize("nth", [1, 4])
@pytest.mark.parametrize("point", ["target.synced", "target.renamed"])
def test_a_killed_delivery_shows_nothing_half_and_is_made_good_by_a_repeat(root: Path, point: str, nth: int) -> None:
    said = killed(root, f"{point}:{nth}")
    acknowledged = [each for told in said for each in told.get("delivered", [])]
    last = [each for told in said for each in told.get("delivering", [])][-8:]
    visible = {path.name: path for path in (root / "out").iterdir() if not path.name.startswith(OURS)}
    cut_off = {each["key"] for each in last}
    assert {each["key"] for each in acknowledged} == visible.keys() - cut_off
    assert visible.keys() & cut_off == (cut_off if point == "target.renamed" else set())
    before = {name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in visible.items()}
    target = DirectoryTarget(LocalStore(root / "store"), "outgoing", root / "out")
    target.deliver([Delivery(**{**each, "source": ObjectRef(**each["source"])}) for each in last])
    after = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (root / "out").iterdir()}
    assert after.keys() == visible.keys() | cut_off
    assert before.items() <= after.items()
