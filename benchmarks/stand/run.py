"""How every benchmark begins and ends: its arguments, a fresh directory on a real disk, progress, and the report."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from stand import delay, disk, machine
from stand.report import Report

RESULTS = Path(__file__).resolve().parents[1] / "results"


@dataclass(frozen=True, slots=True)
class Bench:
    """One benchmark under way."""

    small: bool
    rounds: int
    work: Path  # empty, on the disk that is measured
    env: Mapping[str, str]  # of every process whose syncs count
    delay_ms: float  # that is added to each sync
    ledger: str  # "sqlite" or "postgres"
    minutes: float  # of what goes on for a time
    report: Report
    progress: Progress

    def size(self, full: int, small: int) -> int:
        """How much load: `full` by hand, `small` to see that it works."""
        return small if self.small else full

    def tell(self, what: str) -> None:
        """Say what is going on, on a terminal with a bar and elsewhere as a line."""
        if self.progress.disable:
            print(what, file=sys.stderr, flush=True)
        task = self.progress.task_ids[0]
        self.progress.update(task, description=what)

    def count(self, what: str, done: int, total: int) -> None:
        """Move the bar."""
        self.progress.update(self.progress.task_ids[0], description=what, completed=done, total=total)


@contextmanager
def bench(
    name: str, doc: str, *, rounds: int = 0, slow_disk: bool = False, ledgers: bool = False, minutes: float = 0.0
) -> Iterator[Bench]:
    """A benchmark's frame. What the block has put in the report is shown, and written where it was asked to be."""
    given = _arguments(doc, rounds, slow_disk, ledgers, minutes)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped as well
    given.work.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"wharf-bench-{name}-", dir=given.work))
    delay_ms = given.fsync_delay_ms
    slower = "-postgres" * (given.ledger == "postgres") + (f"-fsync-{delay_ms:g}ms" if delay_ms else "")
    on = ", on Postgres" * (given.ledger == "postgres")
    title = doc.strip().split("\n")[0].rstrip(".") + on + (f", {delay_ms:g} ms added to every sync" if delay_ms else "")
    command = " ".join([".venv/bin/python", f"benchmarks/{name}.py", *sys.argv[1:]])
    env = delay.environment(work, delay_ms)
    facts = machine.facts(work) | {"one sync": _sync(work, env, delay_ms)}
    report = Report(name + slower, title, command, time.strftime("%Y-%m-%d"), facts)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    terminal = Console(stderr=True)
    progress = Progress(*columns, console=terminal, disable=not terminal.is_terminal, transient=True)
    progress.add_task(name, total=None)
    try:
        with progress:
            yield Bench(given.small, given.rounds, work, env, delay_ms, given.ledger, given.minutes, report, progress)
    finally:
        if not given.keep:
            shutil.rmtree(work, ignore_errors=True)
    Console().print(Markdown(report.markdown()))
    if not given.small or given.out != RESULTS:
        print("written:", report.write(given.out))


def _sync(work: Path, env: Mapping[str, str], delay_ms: float) -> str:
    """What making 10 KB durable takes here, as a fact of the machine; raises where the delay that was asked for is not felt."""
    sync_ms = disk.measured(work / "sync", 64, 10_240, env)[1] * 1e3
    if sync_ms < delay_ms:
        raise RuntimeError(f"a sync takes {sync_ms:.2f} ms: the added {delay_ms:g} ms are not felt on this system")
    return f"{sync_ms:.2f} ms (fdatasync of a new file of 10 KB, median of 64)"


def _arguments(doc: str, rounds: int, slow_disk: bool, ledgers: bool, minutes: float) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--small", action="store_true", help="a few files only: shows that it works, its times mean nothing")
    add(
        "--out",
        type=Path,
        default=RESULTS,
        help="directory for the report (default: benchmarks/results; none if small)",
    )
    add("--work", type=Path, default=Path("/var/tmp"), help="directory on the disk to measure (default: /var/tmp)")
    add("--keep", action="store_true", help="leave the working files: deleting them slows a run that follows at once")
    if rounds:
        add("--rounds", type=int, default=rounds, help="how often each subject has its turn (default: %(default)s)")
    else:
        parser.set_defaults(rounds=1)
    if minutes:
        add("--minutes", type=float, default=minutes, help="how long it goes on (default: %(default)g)")
    else:
        parser.set_defaults(minutes=0.0)
    if slow_disk:
        add("--fsync-delay-ms", type=float, default=0.0, help="make every sync so much slower (default: 0)")
    else:
        parser.set_defaults(fsync_delay_ms=0.0)
    if ledgers:
        add("--ledger", choices=("sqlite", "postgres"), default="sqlite", help="where the ledger is (default: sqlite)")
    else:
        parser.set_defaults(ledger="sqlite")
    given = parser.parse_args()
    if given.small:
        given.rounds = 1
    return given
