"""
A soak.

Files of 10 KB come into custody at a steady pace and are delivered to a directory by `wharf serve`, for minutes. Memory of its
processes, the write-ahead log and the tables whose rows are changed again and again must not grow; the ledger must grow by the file,
and by no more at the end than in the middle. Postgres checkpoints every 30 s and looks for what to vacuum every 5 s, so that a few
minutes show what its defaults (5 minutes, 1 minute) show in an hour.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

from stand import memory
from stand.custody import take_in
from stand.measure import figure
from stand.ours import NO_SFTP, Wired, opened, serving
from stand.postgres import Postgres, postgres
from stand.run import Bench, bench
from wharfinger.model import Status

RATE = 200  # files/s
SMALL_RATE = 50  # where other work goes on beside it
GROUP = 10  # files that come at once
SAMPLES = 120  # at the most
SOON = {"checkpoint_timeout": "30s", "max_wal_size": "128MB", "autovacuum_naptime": "5s"}
CHANGED = ("run", "figure", "share")  # tables whose rows are changed
Sample = dict[str, float]

QUERY = f"""
SELECT {", ".join(f"pg_total_relation_size('{table}')" for table in CHANGED)},
  (SELECT sum(size)::bigint FROM pg_ls_waldir()),
  (SELECT sum(n_dead_tup)::bigint FROM pg_stat_user_tables), (SELECT sum(autovacuum_count)::bigint FROM pg_stat_user_tables),
  pg_database_size(current_database()), (SELECT max(n_dead_tup) FROM pg_stat_user_tables WHERE relname = 'figure')
"""


def main() -> None:
    """One ledger, one soak."""
    with bench("soak", __doc__, slow_disk=True, ledgers=True, minutes=3) as b, ExitStack() as stack:
        place, look = "sqlite", partial(of_sqlite, b.work / "wharf" / "data" / "ledger.db")
        if b.ledger == "postgres":
            server = stack.enter_context(postgres(b.work, b.env, b.delay_ms, SOON))
            b.report.machine["postgres"] = f"{server.version}, {', '.join(f'{k} {v}' for k, v in SOON.items())}"
            place, look = server.made("wharf"), partial(of_postgres, server)
        wired = stack.enter_context(closing(opened(b.work, place, NO_SFTP)))
        pid, _ = stack.enter_context(serving(b.work, b.env))
        samples, sent = soak(b, wired, pid, look)
        drained(wired, sent)
        b.report.counts["sent"] = sent
        b.report.counts["delivered"] = wired.database.catalog.counts().files[Status.TRANSFERRED]
        tell(b, samples)


def soak(b: Bench, wired: Wired, pid: int, look: Callable[[], Sample]) -> tuple[list[Sample], int]:
    """Send at the pace for so many minutes; what was seen on the way, and how many files were sent."""
    rate, seconds = b.size(RATE, SMALL_RATE), b.minutes * 60
    begun, sent = time.monotonic(), 0
    samples: list[Sample] = []
    while (passed := time.monotonic() - begun) < seconds:
        if sent <= passed * rate:
            take_in(wired, range(sent, sent + GROUP))
            sent += GROUP
        else:
            time.sleep(GROUP / rate / 4)
        if passed >= len(samples) * seconds / SAMPLES:
            counts = wired.database.catalog.counts().files
            known = {"s": passed, "files": float(sum(counts.values())), "waiting": float(counts[Status.UPLOADED])}
            samples.append(known | {"RSS": float(sum(memory.resident(pid).values()))} | look())
            b.count("soaking", int(passed), int(seconds))
    return samples, sent


def of_sqlite(path: Path) -> Sample:
    """The sizes of its files."""
    wal = Path(f"{path}-wal")
    return {"ledger": float(path.stat().st_size), "WAL": float(wal.stat().st_size if wal.exists() else 0)}


def of_postgres(server: Postgres) -> Sample:
    """The sizes of the tables and of the log, and what vacuum has left."""
    *sizes, wal, dead, vacuums, ledger, dead_figures = map(float, server.ask("wharf", QUERY))
    named = {f"table {table}": size for table, size in zip(CHANGED, sizes)}
    return named | {"WAL": wal, "ledger": ledger, "dead rows": dead, "dead figures": dead_figures, "vacuums": vacuums}


def drained(wired: Wired, files: int, within_s: float = 60) -> None:
    """Wait until so many files are delivered; raises TimeoutError."""
    end = time.monotonic() + within_s
    while wired.database.catalog.counts().files.get(Status.TRANSFERRED, 0) < files:
        if time.monotonic() > end:
            raise TimeoutError(f"not all were delivered: {wired.database.catalog.counts()}")
        time.sleep(0.1)


def tell(b: Bench, samples: Sequence[Sample]) -> None:
    """The thirds of the soak beside each other, and whether the last is like the middle one."""
    thirds = [samples[len(samples) * n // 3 : len(samples) * (n + 1) // 3] for n in range(3)]
    rows: list[Sequence[object]] = [
        [name, *(f"{_shown(name, median(values))} ({_shown(name, max(values))})" for values in _of(thirds, name))]
        for name in samples[0]
        if name != "s"
    ]
    ends = [samples[0], *(third[-1] for third in thirds)]
    grown = [(z["ledger"] - a["ledger"]) / max(1.0, z["files"] - a["files"]) for a, z in pairwise(ends)]
    rows.append(["ledger's growth, bytes a file", *map(figure, grown)])
    pace = f"{b.size(RATE, SMALL_RATE)} files/s of 10 KB for {samples[-1]['s']:.0f} s"
    note = f"{pace}, {len(samples)} samples: median (greatest) of each third. Sizes in KiB."
    b.report.table("Thirds", ["", "first", "middle", "last"], rows, note)
    b.report.samples("samples", {name: [sample[name] for sample in samples] for name in samples[0]})
    b.report.aim("ledger's growth a file, last third over middle", grown[2] / max(1.0, grown[1]), "<=", 1.25, "times")
    for name, limit in {"RSS": 1.05, "WAL": 1.25, "table figure": 1.25, "table share": 1.25}.items():
        if name in samples[0]:
            middle, last = (max(values) for values in _of(thirds[1:], name))
            b.report.aim(
                f"{name}, greatest of the last third over the middle", last / max(1.0, middle), "<=", limit, "times"
            )


def _of(thirds: Sequence[Sequence[Mapping[str, float]]], name: str) -> list[list[float]]:
    return [[sample[name] for sample in third] for third in thirds]


def _shown(name: str, value: float) -> str:
    counted = {"files", "waiting", "dead rows", "dead figures", "vacuums"}
    return figure(value if name in counted else value / 1024)


if __name__ == "__main__":
    if not Path("/proc/self/statm").exists():
        sys.exit("soak.py reads the memory of processes from /proc, which this system has not")
    main()
