"""
A whole yard in one directory: store, ledger, destinations, pipelines of small steps, and workers.

Run as a program (`yard.py ROOT PIPELINE [option=value...]`) it is one worker process on the yard at ROOT, until SIGTERM.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wharfinger.config.entry import Retry, Route
from wharfinger.config.order import Grouping, unordered
from wharfinger.config.settings import BoundBranch, BoundCall, BoundStep, Pipeline
from wharfinger.engine.lifeline import Lifeline
from wharfinger.engine.worker import Worker
from wharfinger.errors import Rejected, Transient
from wharfinger.ingest import Upload, land
from wharfinger.ledger import Database, Filter, Hint
from wharfinger.ledger.hint import DatagramHint
from wharfinger.ledger.postgres import PostgresDatabase
from wharfinger.ledger.postgres.hint import PostgresHint
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import Arrival, FileRecord
from wharfinger.steps import Output, Reader, Result, Scratch, Step
from wharfinger.store.bucket import BucketTarget
from wharfinger.store.directory import DirectoryTarget
from wharfinger.store.local import LocalStore
from wharfinger.store.names import OURS
from wharfinger.store.versions import Versions

EVERY = Route()
SOON = Retry(tries=3, base_s=0.01, cap_s=0.02)


@dataclass(frozen=True, slots=True)
class Told:
    """The options of every step here."""

    word: str = ""


def _send(inputs: Sequence[Reader], told: Told, scratch: Scratch) -> Result:
    """Deliver each input to the destination `word` under the key it arrived with."""
    for source in inputs:
        folder = source.arrival.key.rpartition("/")[0]
        scratch.destinations[told.word].copy(source, f"{folder}/{source.name}")
    return Result([Output.unchanged(source) for source in inputs])


def _upper(inputs: Sequence[Reader], told: Told, scratch: Scratch) -> Result:
    """Capital letters, in a file of its own."""
    (source,) = inputs
    made = scratch.path / "made"
    made.write_bytes(source.read().upper())
    return Result([Output(made, source.name, "text/plain")], {"size": source.size})


def _obey(inputs: Sequence[Reader], told: Told, scratch: Scratch) -> Result:
    """Do what the file says: "reject", "transient", "raise", "kill", "sleep 3"; anything else is handed on."""
    (source,) = inputs
    word, _, seconds = source.read(100).decode(errors="replace").lower().partition(" ")
    match word:
        case "reject":
            raise Rejected("the file says so", code="TOLD_SO")
        case "transient":
            raise Transient("the file says so", code="TOLD_SO")
        case "raise":
            raise ValueError("the file says so")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            time.sleep(float(seconds))
    return Result([Output.unchanged(source)])


def _hang(inputs: Sequence[Reader], told: Told, scratch: Scratch) -> Result:
    """Hold the interpreter, so that no other thread runs."""
    ctypes.PyDLL(None).sleep(60)
    return Result([])


def a_step(name: str, run: Callable[[Sequence[Reader], Any, Scratch], Result], **more: Any) -> Step:
    return Step(name=name, version="1", help=f"{name}.", options=Told, run=run, **more)


STEPS: Mapping[str, Step] = {
    "send": a_step("send", _send, destinations=lambda told: (told.word,)),
    "upper": a_step("upper", _upper),
    "obey": a_step("obey", _obey),
    "hang": a_step("hang", _hang),
    "hurry": a_step("hurry", _obey, seconds=0.2),
}


def bound(uses: str, word: str = "", *, name: str = "", when: Any = None, checkpoint: bool = False) -> BoundStep:
    return BoundStep(name or uses, uses, "1", Told(word), when, checkpoint)


def call(*pipelines: str, kind: str = "pipeline", name: str = "", failure: str = "fail", **more: Any) -> BoundCall:
    branches = tuple(BoundBranch(pipeline) for pipeline in pipelines)
    return BoundCall(name or pipelines[0], kind, branches, more.get("when"), failure, more.get("members", 10_000))


def a_pipeline(
    *steps: BoundStep | BoundCall, name: str = "all", route: Route = EVERY, retry: Retry = SOON, is_routed: bool = True
) -> Pipeline:
    document = json.dumps({"name": name, "steps": [repr(step) for step in steps]})
    revision = hashlib.sha256(document.encode()).hexdigest()
    return Pipeline(name, route, lambda _: True, steps, retry, revision, document, is_routed)


def called(*steps: BoundStep | BoundCall, name: str, retry: Retry = SOON) -> Pipeline:
    """A pipeline that takes only what others hand it."""
    return a_pipeline(*steps, name=name, retry=retry, is_routed=False)


PIPELINES: Mapping[str, Pipeline] = {
    "plain": a_pipeline(bound("send", "out")),
    "obey": a_pipeline(bound("obey"), bound("send", "out")),
    "hurry": a_pipeline(bound("hurry"), bound("send", "out")),
    "hang": a_pipeline(bound("hang")),
    "family": a_pipeline(
        bound("send", "lake", name="keep"),
        call("rows", kind="each"),
        call("outer", "copy", kind="parallel", name="both"),
        bound("send", "out"),
    ),
    "full": a_pipeline(
        bound("upper", checkpoint=True), bound("send", "lake", name="keep"), bound("obey"), bound("send", "out")
    ),
}


CALLED = (
    called(bound("upper"), bound("send", "out"), name="rows"),
    called(call("inner"), name="outer"),
    called(bound("obey"), bound("send", "lake"), name="inner"),
    called(bound("upper", checkpoint=True), bound("obey"), name="copy"),
)
"""What the pipeline `family` calls: an archive's members, a nested pipeline, and one beside it."""


class Yard:
    """The same yard for all who open the same directory."""

    def __init__(self, root: Path) -> None:
        self.root, self.out = root, root / "out"
        self.out.mkdir(parents=True, exist_ok=True)
        self.store = LocalStore(root / "store")
        self.database, self.hint = _ledger(root)
        self.ledger, self.catalog = self.database.ledger, self.database.catalog
        self.targets = {
            "out": DirectoryTarget(self.store, "out", self.out),
            "lake": BucketTarget(self.store, "lake", "lake"),
        }
        self._version = Versions()

    def __enter__(self) -> Yard:
        return self

    def __exit__(self, *_: object) -> None:
        self.hint.close()
        self.database.close()
        self.store.close()

    def land(self, files: Mapping[str, bytes], *, customer: str = "acme", group: Grouping = unordered) -> list[Arrival]:
        """Take these files into custody, by name, and wake a worker."""
        uploads = [self._upload(customer, name, data) for name, data in files.items()]
        arrivals: list[Arrival] = []
        for n in range(0, len(uploads), 100):
            for answer in land(self.store, self.ledger, "arrivals", uploads[n : n + 100], group=group):
                assert isinstance(answer, Arrival), answer
                arrivals.append(answer)
        self.hint.send([arrival.file_id for arrival in arrivals])
        return arrivals

    def _upload(self, customer: str, name: str, data: bytes) -> Upload:
        version = self._version()
        path = self.root / "store" / "staging" / version
        path.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        return Upload(path, f"{customer}/{name}", version, len(data), sha256, customer, source="test")

    def worker(self, *pipelines: Pipeline, steps: Mapping[str, Step] = STEPS, **more: Any) -> Worker:
        options = {"owner": "tester", "gates": self.database.gates, **more}
        return Worker(self.ledger, self.store, self.targets, pipelines, steps, self.hint, **options)

    def records(self) -> dict[str, FileRecord]:
        """What is known of every file, by name below the customer's home; of the latest version."""
        found = [*self.catalog.files(Filter(), limit=100_000)]
        return {record.key.partition("/")[2]: record for record in reversed(found)}

    def statuses(self) -> dict[str, str]:
        return {name: record.status.value for name, record in self.records().items()}

    def visible(self) -> dict[str, bytes]:
        """Everything in the directory of deliveries under a name that a partner would see."""
        files = (path for path in self.out.rglob("*") if path.is_file() and not path.name.startswith(OURS))
        return {str(path.relative_to(self.out)): path.read_bytes() for path in files}

    def lake(self) -> dict[str, list[bytes]]:
        """Everything in the bucket of deliveries: all versions by key."""
        found: dict[str, list[bytes]] = {}
        for listed in self.store.list("lake"):
            with self.store.open(listed.ref) as file:
                found.setdefault(listed.ref.key, []).append(file.read())
        return found

    def history(self, name: str) -> list[str]:
        """The kinds of the events of a file."""
        return [event.kind for event in self.catalog.events(self.records()[name].file_id)]


def argv(yard: Yard, pipeline: str, **options: Any) -> tuple[str, ...]:
    """The command of a worker process on this yard."""
    return (sys.executable, __file__, str(yard.root), pipeline, json.dumps({"lease_s": 1.0, **options}))


@contextmanager
def worker(
    yard: Yard, pipeline: str, *, environ: Mapping[str, str] | None = None, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ready to be told to stop, unless it is dead already."""
    command, env = argv(yard, pipeline, **options), {**os.environ, **(environ or {})}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def all_final(yard: Yard) -> bool:
    return all(record.status.is_final for record in yard.records().values())


def effects(yard: Yard) -> dict[str, int]:
    """Every visible file as the one that it is: a second effect under its name would have another inode."""
    return {str(path): path.stat().st_ino for path in yard.out.rglob("*") if path.is_file() and path.name[0] != "."}


def _ledger(root: Path) -> tuple[Database, Hint]:
    """On the server that WHARF_LEDGER names, as for `wharf`; else in `root`."""
    if url := os.environ.get("WHARF_LEDGER"):
        return PostgresDatabase(url, tree="arrivals"), PostgresHint(url)
    return SqliteDatabase(str(root / "ledger.db"), tree="arrivals"), DatagramHint(root / "run")


def work(root: str, pipeline: str, options: Mapping[str, Any]) -> None:
    lifeline = Lifeline.inherited(os.environ, owner=f"pid-{os.getpid()}")
    with Yard(Path(root)) as yard:
        worker = yard.worker(PIPELINES[pipeline], *CALLED, owner=lifeline.owner, **options)
        signal.signal(signal.SIGTERM, lambda *_: worker.stop())
        lifeline.watch(worker.stop)
        print("ready", flush=True)
        worker.work()


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
