"""
The ledger, empty and with millions of files behind it.

Arrive, claim and settle in batches of 1 and 64 on ledgers with 0, 1 million and 10 million done files, in turns; bytes of ledger
a file; and the time from a process's start to its first claim, after kill -9 of another with 1 million runs queued. The ledgers
are filled through the port's own verbs, 100 at a time (about 20 minutes for 10 million, and 20 GB of disk).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import pairwise
from pathlib import Path

from stand.facts import BUCKET, arrivals, transferred
from stand.measure import interleave, ratio, spread
from stand.run import Bench, bench
from wharfinger.ledger import MANY
from wharfinger.ledger.checkpoint import signer
from wharfinger.ledger.keyring import Keyring
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import Status

VERBS = ("arrive", "claim", "settle")
Sample = tuple[float, float, float]  # µs a file for each verb
PROCESS = Path(__file__).with_name("stand") / "ledger_process.py"


def main() -> None:
    """All three questions, one report."""
    with bench("ledger", __doc__, rounds=5) as b:
        levels = fill(b, [b.size(1_000_000, 2_000), b.size(10_000_000, 4_000)])
        compare(b, levels)
        restart(b, b.size(1_000_000, 2_000))


def fill(b: Bench, levels: Sequence[int]) -> dict[int, Path]:
    """Ledgers with so many done files, made on the way to the largest; and how large they are."""
    filling, made, done = b.work / "filling.db", dict[int, Path](), 0
    rows: list[tuple[str, float, float]] = []
    sign = signer(Keyring(b.work / "signing"))
    for level in levels:
        with closing(SqliteDatabase(str(filling), tree=BUCKET)) as database:
            begun = time.perf_counter()
            for start in range(done, level, MANY):
                turn(database, start, MANY)
                b.count("filling", start, levels[-1])
            taken = time.perf_counter() - begun
            b.tell("signed checkpoints over all histories")
            while database.audit.checkpoint(sign, every_s=0):
                pass
            b.report.counts[f"transferred of {level}"] = database.catalog.counts().files[Status.TRANSFERRED]
        made[level] = b.work / f"{level}.db"
        shutil.copyfile(filling, made[level])
        per_file = made[level].stat().st_size / level
        rows.append((f"{level:,}", per_file, (level - done) / taken))
        done = level
    note = (
        "Covered by signed checkpoints, after the last process has closed it. The rate is that of the filling itself: batches of 100, "
        "one process."
    )
    b.report.table("Size", ["done files", "bytes a file", "files/s while filling"], rows, note)
    b.report.aim(f"bytes of ledger a file, {levels[0]:,} files", rows[0][1], "<=", 1536, "B")
    return made


def turn(database: SqliteDatabase, start: int, batch: int) -> Sample:
    """`batch` files through arrive, claim and settle; µs a file for each."""
    new = arrivals(start, batch)
    at = [time.perf_counter()]
    database.ledger.arrive(new)
    at.append(time.perf_counter())
    runs = database.ledger.claim("bench", batch, 30.0)
    at.append(time.perf_counter())
    outcomes = transferred(runs)
    begun = time.perf_counter()
    settled = database.ledger.settle(outcomes)
    at.append(time.perf_counter() - begun + at[-1])
    if len(runs) != batch or not all(settled):
        raise RuntimeError(f"{len(runs)} of {batch} claimed, {sum(settled)} settled")
    arrive, claim, settle = ((b - a) * 1e6 / batch for a, b in pairwise(at))
    return arrive, claim, settle


def compare(b: Bench, levels: Mapping[int, Path]) -> None:
    """The same work on each ledger, in turns."""
    files = {1: b.size(2_000, 20), 64: b.size(19_200, 128)}
    subjects = {
        _name(batch, level): partial(measure, levels.get(level, b.work), batch, files[batch])
        for batch in files
        for level in (0, *levels)
    }
    samples = interleave(subjects, b.rounds, b.tell)
    totals = {name: [sum(sample) for sample in got] for name, got in samples.items()}
    rows = [
        [name, *(spread(verb) for verb in zip(*samples[name])), spread(total), 1e6 / spread(total).median]
        for name, total in totals.items()
    ]
    note = "µs a file: median of the rounds (least-greatest). Every batch is one durable transaction a verb."
    b.report.table("Arrive, claim, settle", ["ledger", *VERBS, "all three", "files/s"], rows, note)
    b.report.samples("us per file", totals)
    for batch in files:
        slower = ratio(totals[_name(batch, max(levels))], totals[_name(batch, 0)])
        b.report.aim(f"{max(levels):,} done files against none, {batch} at a time", slower.median, "<=", 1.5, "times")


def _name(batch: int, level: int) -> str:
    return f"{batch} at a time, {level:,} done"


def measure(path: Path, batch: int, files: int, number: int) -> Sample:
    """Mean µs a file for each verb over `files` files, after a first batch that warms up; a directory gets a new ledger."""
    ledger = path / f"empty-{number}-{batch}.db" if path.is_dir() else path
    first = (number + 1) << 33 | batch << 25  # of the file numbers, so that no name comes twice
    with closing(SqliteDatabase(str(ledger), tree=BUCKET)) as database:
        turn(database, first, batch)
        turns = [turn(database, first + n, batch) for n in range(batch, batch + files, batch)]
    arrive, claim, settle = (sum(values) / len(turns) for values in zip(*turns))
    return arrive, claim, settle


def restart(b: Bench, queued: int) -> None:
    """kill -9 a process amid its work on a full queue, and time another from its start to its first claim."""
    path = b.work / "queued.db"
    with closing(SqliteDatabase(str(path), tree=BUCKET)) as database:
        for start in range(0, queued, MANY):
            database.ledger.arrive(arrivals(start, MANY))
            b.count("queueing", start, queued)
    taken = []
    for number in range(b.rounds):
        b.tell(f"kill -9, round {number + 1} of {b.rounds}")
        kill_amid(path, turns=b.size(200, 3))
        taken.append(first_claim(b, path))
    b.report.samples("restart to first claim, s", taken)
    row = [f"{queued:,}", spread(taken)]
    note = "Seconds from the start of the Python process to the answer of its first claim of 64, WAL recovery included."
    b.report.table("Restart after kill -9", ["queued", "s to first claim"], [row], note)
    b.report.aim(f"restart to first claim, {queued:,} queued", spread(taken).median, "<=", 5, "s")


def kill_amid(path: Path, turns: int) -> None:
    """Let a process arrive and claim for some turns, and kill it."""
    with subprocess.Popen(
        [sys.executable, PROCESS, path, "churn"], stdout=subprocess.PIPE, env=importable()
    ) as process:
        assert process.stdout
        for _ in range(turns):
            if not process.stdout.readline():
                raise RuntimeError("the process ended before it was killed")
        process.kill()


def first_claim(b: Bench, path: Path) -> float:
    """Seconds until a new process has claimed."""
    begun = time.perf_counter()
    command = [sys.executable, str(PROCESS), str(path), "claim"]
    claimed = subprocess.run(command, capture_output=True, check=True, timeout=600, env=importable()).stdout
    b.report.counts["claimed after kill -9"] = int(claimed)
    return time.perf_counter() - begun


def importable() -> dict[str, str]:
    """The environment of a program in stand/ that imports its neighbours."""
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROCESS.parents[1]), os.environ.get("PYTHONPATH")]))
    }


if __name__ == "__main__":
    main()
