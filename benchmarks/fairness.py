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
from stand.measure import percentile, spread
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
BEHIND, BESIDE = "behind the dump", "beside a flood by SFTP"


def main() -> None:
    """Idle, behind the dump, beside the flood; and once more."""
    with bench("fairness", __doc__, rounds=3) as b:
        keys = Keys.made(b.work)
        probes, dump = b.size(200, 20), b.size(100_000, 1_000)
        turns: dict[str, list[Probe]] = {"idle": [], BEHIND: [], BESIDE: []}
        rates = []
        for turn in range(1, b.rounds + 1):
            with wharf(b.work, keys, b.env) as running:
                turns["idle"] += probe(b, running, probes, f"idle-{turn}")
            since = time.time()
            landed(b, dump, turn)
            with wharf(b.work, keys, b.env) as running:
                busy = probe(b, running, probes, f"busy-{turn}")
                b.tell("the rest of the dump")
                running.drained(within_s=900)
                dumped = running.delivered(since, dump, customer=LARGE).values()
                turns[BEHIND] += [one for one in busy if one.closed < max(dumped)] or busy
                rates.append(dump / (max(dumped) - min(dumped)))
                with sending(running, turn):
                    turns[BESIDE] += probe(b, running, probes, f"beside-{turn}")
                running.drained(within_s=900)
        report(b, {name: [one.ms for one in got] for name, got in turns.items()}, rates)
        b.report.counts |= {"probes delivered": 3 * probes * b.rounds, "dumped and delivered": dump * b.rounds}


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
def sending(running: Wharf, turn: int) -> Iterator[None]:
    """The large customer sends, in a process of its own, until the block has ended."""
    fork = multiprocessing.get_context("fork")
    begun, enough = fork.Event(), fork.Event()
    process = fork.Process(target=_send, args=(running, turn, begun, enough))
    process.start()
    begun.wait(60)
    yield
    enough.set()
    process.join()
    if process.exitcode:
        raise RuntimeError("the large customer could not send")


def _send(running: Wharf, turn: int, begun: Event, enough: Event) -> None:
    with sessions(running.server, SESSIONS) as opened:
        for part in itertools.count():
            names = [f"inbound/bucket/flood-{turn}-{part}-{n}.csv" for n in range(TURN)]
            flood(opened, names, SIZE, in_flight=IN_FLIGHT)
            begun.set()
            if enough.is_set():
                return


def landed(b: Bench, files: int, turn: int) -> None:
    """The large customer's files, in custody and waiting."""
    body = os.urandom(SIZE + files)
    with closing(opened(b.work)) as wired:
        for start in range(0, files, MANY):
            scratch = wired.store.scratch()
            numbers = range(start, min(start + MANY, files))
            uploads = [_staged(scratch, f"{turn}-{n}", body[n : n + SIZE]) for n in numbers]
            errors = [
                one for one in land(wired.store, wired.database.ledger, BUCKET, uploads) if isinstance(one, Exception)
            ]
            if errors:
                raise errors[0]
            scratch.rmdir()
            b.count("dumping", start, files)


def _staged(scratch: Path, name: str, body: bytes) -> Upload:
    path = scratch / name
    path.write_bytes(body)
    key, version = f"{LARGE}/inbound/bucket/dump-{name}.csv", ulid(time.time(), int.from_bytes(os.urandom(10)))
    return Upload(path, key, version, len(body), hashlib.sha256(body).hexdigest(), LARGE)


def report(b: Bench, turns: Mapping[str, Sequence[float]], rates: Sequence[float]) -> None:
    """The distributions, in ms, and their ratios."""
    rows = [[name, len(ms), percentile(ms, 50), percentile(ms, 99), max(ms)] for name, ms in turns.items()]
    note = (
        f"The {len(rates)} dumps were delivered at {spread(rates)} files/s meanwhile; the small customer's files that were "
        "closed later are not counted."
    )
    b.report.table(
        "One file of a small customer, close to delivered", ["", "files", "p50, ms", "p99, ms", "worst, ms"], rows, note
    )
    for name in (BEHIND, BESIDE):
        slower = percentile(turns[name], 99) / percentile(turns["idle"], 99)
        b.report.aim(f"p99 {name} over the idle p99", slower, "<=", 3, "times")
    b.report.samples("ms", turns)


if __name__ == "__main__":
    main()
