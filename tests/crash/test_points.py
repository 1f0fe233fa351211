"""A crash point stands wherever one durable effect follows another; found by watching the disk under a real `wharf serve`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from copy import copy
from itertools import pairwise
from pathlib import Path

import pytest

from rig import faultdisk
from rig.account import Account
from rig.serving import CONFIG, OF_CHILDREN, OF_GROUPS, Serving, prepare
from rig.uploading import upload
from rig.waiting import wait_until
from wharfinger.telemetry.crash import ON_REQUEST, POINTS

pytestmark = pytest.mark.slow

SOURCES = Path(__file__).parents[2] / "src" / "wharfinger"

STORED = ["store.synced", "store.renamed"]
LISTENER = ["intake.handed", "intake.answered", "intake.acknowledged"]
LANDING = ["intake.staged", *STORED, "intake.stored", "ledger.arriving", "intake.arrived"]
CHECKPOINT = ["worker.stepped", *STORED, "worker.published", "worker.checkpointed"]
TO_BUCKET = ["worker.stepped", *STORED, "worker.delivered"]
TO_DIRECTORY = ["worker.stepped", "target.synced", "target.renamed", "worker.delivered"]
END = ["worker.noted", "ledger.settling", "worker.settled", "store.deleting", "worker.dropped"]
WATCH = [*LANDING, "source.landed", "folder.aside"]
WORKER = ["worker.claimed", "worker.routed", *CHECKPOINT, *TO_BUCKET, *TO_DIRECTORY, *END]

BEGINNINGS = ["intake.staged", "worker.claimed"]

ON_ITS_OWN = {"sweeper.begun", "ledger.checkpointing"}  # at any time
AFTER_A_FAULT = {"sweeper.swept", "supervisor.bereaved"}


class Process:
    """What one process did, in order: points that it passed, and what it made durable or visible."""

    def __init__(self, log: Path, places: dict[str, str]) -> None:
        self._places = dict(places)  # by inode: of a file its folder's, of a folder its own
        self._changed: set[str] = set()  # folders that have not been synced since
        self.steps = [step for line in log.read_text().splitlines() for step in self._step(line.split(" "))]

    @property
    def points(self) -> list[str]:
        return [step for step in self.steps if step in POINTS]

    def _step(self, words: list[str]) -> Iterator[str]:
        match words:
            case ["mark", name] if name not in ON_ITS_OWN:
                yield name
            case ["folder", folder, _, inode]:
                self._places.setdefault(inode, self._places[folder])
            case ["file", folder, _, inode]:
                self._places[inode] = self._places[folder]  # the number may have been another file's
            case ["add", folder, _, _]:
                self._changed.add(folder)
                yield f"a name in {self._places[folder]}"
            case ["drop", folder, _]:
                self._changed.add(folder)
            case ["names", folder] if folder in self._changed:
                self._changed.remove(folder)
                yield f"names in {self._places[folder]} durable"
            case ["data", inode, _]:
                yield f"bytes in {self._places[inode]} durable"

    def way(self, first: str) -> list[str]:
        """From this point on."""
        return self.steps[self.steps.index(first) :]


def places(root: Path) -> dict[str, str]:
    """By inode, the room of each folder and file: the ledger, the store, or a destination."""
    rooms = {"data/store": "the store", "data": "the ledger", "out": "the destination", "drop": "the folder"}
    found = {}
    for path in [root, *root.rglob("*")]:
        folder = path if path.is_dir() else path.parent
        inside = folder.relative_to(root).as_posix()
        room = next((room for prefix, room in rooms.items() if f"{inside}/".startswith(f"{prefix}/")), "nowhere")
        found[str(path.lstat().st_ino)] = room
    return found


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[Process]:
    """Of a `wharf serve` through which one file goes, without any fault; killed in the end, so that it tidies nothing up."""
    root, logs = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("logs")
    library, sent = faultdisk.library(logs), {"one": b"and only"}
    prepare(root, CONFIG.replace("count: 2", "count: 1"))
    account = Account(root, {"one": b""})
    tracing = os.pathsep.join([str(Path(faultdisk.__file__).with_name("tracing")), os.environ.get("PYTHONPATH", "")])
    serving = Serving(root, faultdisk.environ(library, root=root, log=logs / "log", PYTHONPATH=tracing))
    try:
        serving.start()
        upload(sent, root / "key", serving.port, sessions=1)
        account.settle()
    finally:
        serving.kill()
    return [Process(log, places(root)) for log in logs.glob("log.*") if len(log.suffixes) == 1]


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Process:
    """Of a `wharf watch` that takes one file from a folder; killed in the end."""
    root, logs = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("logs")
    source = "{directory: ./drop, customer: acme, complete: rename, original: delete, scan_s: 0.2}"
    prepare(root, f"{CONFIG}sources:\n  drop: {source}\n")
    drop = root / "drop"
    drop.mkdir()
    (drop / "one").write_bytes(b"and only")
    tracing = os.pathsep.join([str(Path(faultdisk.__file__).with_name("tracing")), os.environ.get("PYTHONPATH", "")])
    env = faultdisk.environ(faultdisk.library(logs), root=root, log=logs / "log", PYTHONPATH=tracing)
    command = [sys.executable, "-m", "wharfinger", "--config", str(root / "wharf.yaml"), "watch"]
    with subprocess.Popen(command, env={**os.environ, **env}) as process:
        try:
            wait_until("it is taken", lambda: not os.listdir(drop))
        finally:
            process.kill()
    (log,) = (log for log in logs.glob("log.*") if len(log.suffixes) == 1)
    return Process(log, places(root))


def of(processes: list[Process], point: str) -> Process:
    return next(process for process in processes if point in process.points)


def test_every_declared_point_is_in_the_code_and_no_other() -> None:
    code = "".join(path.read_text() for path in SOURCES.rglob("*.py"))
    assert set(re.findall(r'crash\.point\("([^"]+)"\)', code)) == set(POINTS) | set(ON_REQUEST)


@pytest.mark.parametrize("point", ON_REQUEST)
def test_what_a_person_asks_for_is_killed_at_every_point_in_a_test_of_its_own(point: str) -> None:
    tests = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    assert any(f'"{point}"' in path.read_text() for path in tests)


def test_a_calm_run_passes_every_point_but_those_after_a_fault(processes: list[Process], watch: Process) -> None:
    passed = {point for process in [*processes, watch] for point in process.points}
    assert passed | ON_ITS_OWN == set(POINTS) - AFTER_A_FAULT - OF_CHILDREN - OF_GROUPS


def test_the_points_are_passed_in_the_order_of_a_files_way(processes: list[Process], watch: Process) -> None:
    assert watch.points == WATCH
    assert of(processes, "intake.staged").points == LANDING
    assert of(processes, "intake.handed").points == LISTENER
    assert of(processes, "worker.claimed").points == WORKER


@pytest.mark.parametrize("first", BEGINNINGS)
def test_a_point_stands_between_any_two_effects(first: str, processes: list[Process]) -> None:
    """Effects of one kind in a row are those of a group, or of its parts, which no order holds together."""
    way = of(processes, first).way(first)
    assert unguarded(way) == [], way
    assert len(set(way) - POINTS.keys()) == {"intake.staged": 4, "worker.claimed": 7}[first], way


def test_a_point_stands_between_any_two_effects_on_a_folder(watch: Process) -> None:
    way = watch.way("intake.staged")
    assert unguarded(way) == [], way
    assert way[way.index("source.landed") + 1].startswith("a name in"), way


def unguarded(way: list[str]) -> list[tuple[str, str]]:
    """Effects of two kinds between which no point stands."""
    return [pair for pair in pairwise(way) if not {*pair} & POINTS.keys() and len({*pair}) == 2]


@pytest.mark.parametrize("point", ["store.synced", "store.renamed", "target.synced", "target.renamed"])
def test_a_point_that_is_taken_away_is_missed(point: str, processes: list[Process]) -> None:
    """The seeded fault of this suite: the very run above, of a product without this point."""
    lacking = copy(of(processes, point))
    lacking.steps = [step for step in lacking.steps if step != point]
    first = next(beginning for beginning in BEGINNINGS if beginning in lacking.steps)
    with pytest.raises(AssertionError, match="durable"):
        test_a_point_stands_between_any_two_effects(first, [lacking])
