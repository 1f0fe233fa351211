"""
Fairness: one customer dumps 100,000 files, another sends one at a time.

The small customer's files go by SFTP, ten a second: on an idle wharf, then on one whose workers have the other customer's 100,000 files to
do, then while the other customer sends by SFTP as fast as is taken, over 16 sessions. Each must be delivered within 3 times the idle p99.
The dump is landed through `ingest.land`, in this process, while no worker runs, so that all of it is there when the small
customer's first file comes.
"""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

from stand.load import flood, pace, sessions
from stand.measure import figure, percentile
from stand.ours import BUCKET, Wharf, opened, wharf
from stand.run import Bench, bench
from stand.servers import Keys
from wharfinger.ingest import Upload, land
from wharfinger.ledger import MANY
from wharfinger.model import ulid

SIZE = 10_240  # bytes
RATE = 10.0  # files/s of the small customer
SMALL, LARGE = "other", "bench"
SESSIONS, IN_FLIGHT, TURN = 16, 4, 500  # of the flood; files between two looks whether it is enough


def main() -> None:
    """Idle, then behind the dump."""
    with bench("fairness", __doc__, rounds=1) as b:
        keys = Keys.made(b.work)
        probes, dump = b.size(300, 20), b.size(100_000, 1_000)
        with wharf(b.work, keys, b.env) as running:
            idle = probe(b, running, probes, "idle")
        landed(b, dump)
        with wharf(b.work, keys, b.env) as running:
            busy = probe(b, running, probes, "busy")
            b.tell("the rest of the dump")
            running.drained(within_s=900)
            dumped = running.delivered(0, dump, customer=LARGE)
            with sending(running):
                beside = probe(b, running, probes, "beside")
            running.drained(within_s=900)
        report(b, idle, busy, beside, dumped)


@dataclass(frozen=True, slots=True)
class Probe:
    """One file of the small customer. Epoch seconds."""

    closed: float
    delivered: float

    @property
    def ms(self) -> float:
        """From CLOSE to delivered."""
        return (self.delivered - self.closed) * 1e3


def probe(b: Bench, running: Wharf, files: int, name: str) -> list[Probe]:
    """The small customer's files, one after the other."""
    b.tell(f"{files} files, {name}")
    begun = time.time()
    with sessions(running.as_user(SMALL), 1) as session:
        sent = pace(session, [f"inbound/bucket/{name}-{n}.csv" for n in range(files)], SIZE, rate=RATE)
    at = running.delivered(begun, files, customer=SMALL)
    return [Probe(one.closed, at[f"{SMALL}/{one.name}"]) for one in sent]


@contextmanager
def sending(running: Wharf) -> Iterator[None]:
    """The large customer sends, in a process of its own, until the block has ended."""
    fork = multiprocessing.get_context("fork")
    begun, enough = fork.Event(), fork.Event()
    process = fork.Process(target=_send, args=(running, begun, enough))
    process.start()
    begun.wait(60)
    yield
    enough.set()
    process.join()
    if process.exitcode:
        raise RuntimeError("the large customer could not send")


def _send(running: Wharf, begun: Event, enough: Event) -> None:
    with sessions(running.server, SESSIONS) as opened:
        for turn in itertools.count():
            names = [f"inbound/bucket/flood-{turn}-{n}.csv" for n in range(TURN)]
            flood(opened, names, SIZE, in_flight=IN_FLIGHT)
            begun.set()
            if enough.is_set():
                return


def landed(b: Bench, files: int) -> None:
    """The large customer's files, in custody and waiting."""
    body = os.urandom(SIZE + files)
    with closing(opened(b.work)) as wired:
        for start in range(0, files, MANY):
            scratch = wired.store.scratch()
            numbers = range(start, min(start + MANY, files))
            uploads = [_staged(scratch, n, body[n : n + SIZE]) for n in numbers]
            errors = [
                one for one in land(wired.store, wired.database.ledger, BUCKET, uploads) if isinstance(one, Exception)
            ]
            if errors:
                raise errors[0]
            scratch.rmdir()
            b.count("dumping", start, files)


def _staged(scratch: Path, number: int, body: bytes) -> Upload:
    path = scratch / str(number)
    path.write_bytes(body)
    key, version = f"{LARGE}/inbound/bucket/dump-{number}.csv", ulid(time.time(), int.from_bytes(os.urandom(10)))
    return Upload(path, key, version, len(body), hashlib.sha256(body).hexdigest(), LARGE)


def report(
    b: Bench, idle: Sequence[Probe], busy: Sequence[Probe], beside: Sequence[Probe], dumped: Mapping[str, float]
) -> None:
    """The distributions, and their ratios; behind the dump counts only what was closed before the dump was done."""
    done = max(dumped.values())
    behind = [one for one in busy if one.closed < done] or busy
    turns = {"idle": [one.ms for one in idle], "behind the dump": [one.ms for one in behind]}
    turns["beside a flood by SFTP"] = [one.ms for one in beside]
    rows = [[name, len(ms), percentile(ms, 50), percentile(ms, 99), max(ms)] for name, ms in turns.items()]
    rate = len(dumped) / (done - min(dumped.values()))
    note = f"The {len(dumped):,} files of the dump were delivered at {figure(rate)} files/s meanwhile; later ones are not counted."
    b.report.table(
        "One file of a small customer, close to delivered", ["", "files", "p50, ms", "p99, ms", "worst, ms"], rows, note
    )
    for name in ("behind the dump", "beside a flood by SFTP"):
        slower = percentile(turns[name], 99) / percentile(turns["idle"], 99)
        b.report.aim(f"p99 {name} over the idle p99", slower, "<=", 3, "times")
    b.report.samples("ms", turns)
    probes = len(idle) + len(busy) + len(beside)
    b.report.counts |= {"probes delivered": probes, "dumped and delivered": len(dumped)}


if __name__ == "__main__":
    main()
