"""
A backlog of a million.

So many files have arrived while nobody worked; two processes then claim and settle them, 64 at a time, until nothing is left, and ask
besides what a worker asks in each turn (paused pipelines, obsolete checkpoints) and once a second (leases, cancelled families, resumed
pipelines, a signed checkpoint). A tenth that is claimed from a long queue must take no longer than one from a short queue. No bytes are
moved: how quick the workers are with them is the question of engine.py. Ends early, and says so, where the drain takes longer than 600
seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

from stand.backlog_process import opened
from stand.measure import spread
from stand.postgres import postgres
from stand.run import Bench, bench
from wharfinger.ledger import Database
from wharfinger.model import State

PROCESSES = 2
LIMIT_S = 600  # of the filling, and of the drain
PROGRAM = Path(__file__).with_name("stand") / "backlog_process.py"
Seen = list[tuple[float, int]]  # (s since the beginning, files that are done)


def main() -> None:
    """Fill, then drain."""
    with bench("backlog", __doc__, ledgers=True) as b, ExitStack() as servers:
        place = str(b.work / "ledger.db")
        if b.ledger == "postgres":
            server = servers.enter_context(postgres(b.work, b.env))
            b.report.machine["postgres"] = server.version
            place = server.made("wharf")
        files = b.size(1_000_000, 4_000)
        with closing(opened(place)) as database:
            filling = fill(b, place, database, files)
            os.sync()
            seen, settled = drain(b, place, database, files)
            b.report.counts |= {"arrived": files, "settled": settled}
            b.report.counts["left"] = files - database.catalog.counts().runs[State.DONE]
        tell(b, files, files / filling, seen)


def fill(b: Bench, place: str, database: Database, files: int) -> float:
    """Seconds until all have arrived."""
    begun, part = time.monotonic(), files // PROCESSES
    with ExitStack() as stack:
        filling = [start(stack, place, "fill", str(n * part), str(part)) for n in range(PROCESSES)]
        while any(process.poll() is None for process in filling):
            if time.monotonic() - begun > LIMIT_S:
                raise TimeoutError(f"the ledger was not filled in {LIMIT_S} s: is the machine busy?")
            b.count("filling", database.catalog.counts().runs.get(State.READY, 0), files)
            time.sleep(0.2)
    if any(process.returncode for process in filling):
        raise RuntimeError("a process that filled the ledger has failed; its reason stands above")
    return time.monotonic() - begun


def drain(b: Bench, place: str, database: Database, files: int) -> tuple[Seen, int]:
    """What was done by when, and how many the processes say they have settled."""
    seen: Seen = []
    with ExitStack() as stack:
        working = [start(stack, place, "drain") for _ in range(PROCESSES)]
        begun = time.monotonic()
        while any(process.poll() is None for process in working) and time.monotonic() - begun < LIMIT_S:
            done = database.catalog.counts().runs.get(State.DONE, 0)
            seen.append((time.monotonic() - begun, done))
            b.count("draining", done, files)
            time.sleep(0.01 if b.small else 0.25)
        done = database.catalog.counts().runs.get(State.DONE, 0)
        seen.append((time.monotonic() - begun, done))
        for process in working:
            process.terminate()
        said = [process.communicate()[0] for process in working]
    return seen, sum(int(one) for one in said if one) if all(said) else done


def start(stack: ExitStack, *arguments: str) -> subprocess.Popen[bytes]:
    """A process with a part in it, which does not outlive the run."""
    paths = filter(None, [str(PROGRAM.parents[1]), os.environ.get("PYTHONPATH")])
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    process = stack.enter_context(
        subprocess.Popen([sys.executable, PROGRAM, *arguments], stdout=subprocess.PIPE, env=env)
    )
    stack.callback(process.kill)
    return process


def tell(b: Bench, files: int, filling: float, seen: Seen) -> None:
    """The rate of each tenth, from the moment when the first was settled."""
    first = next(n for n, (_, done) in enumerate(seen) if done)
    moments = [_when(seen[first:], seen[first][1] + (seen[-1][1] - seen[first][1]) * n / 10) for n in range(11)]
    tenth = (seen[-1][1] - seen[first][1]) / 10
    rates = [tenth / max(1e-6, moments[n + 1] - moments[n]) for n in range(10)]
    rows: list[Sequence[object]] = [
        ["arriving, files/s", filling],
        ["drained, files/s", 10 * tenth / max(1e-6, moments[10] - moments[0])],
        ["by tenths (least-greatest)", spread(rates)],
        ["first tenth", rates[0]],
        ["last tenth", rates[9]],
        ["drained, s", seen[-1][0]],
        ["left", files - seen[-1][1]],
    ]
    b.report.table(f"{files:,} queued, {PROCESSES} processes", ["", ""], rows)
    b.report.samples("files/s by tenths", rates)
    b.report.aim("left in the queue", files - seen[-1][1], "<=", 0, "files")
    b.report.aim("slowest tenth, of the median", min(rates) / spread(rates).median, ">=", 0.7, "times")


def _when(seen: Seen, wanted: float) -> float:
    """When so many were done, on the line between the two moments that were looked at."""
    for (a, less), (z, more) in pairwise(seen):
        if more >= wanted:
            return a + (z - a) * (wanted - less) / max(1, more - less)
    return seen[-1][0]


if __name__ == "__main__":
    main()
