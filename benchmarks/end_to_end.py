"""
SFTP to delivered.

5,000 files of 10 KB through `wharf serve` as a user starts it: how many a second from the first OPEN until the last is delivered, to
a bucket of the store and to a directory with real names, beside the bare disk in the same run; and how long one file takes from the
client's CLOSE until it is delivered, at a paced 200 files a second, alone and while files of 1 GB are being uploaded. The client is
part of the load; where there are more, all processes keep to two cores.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stand import clients, cpu, disk
from stand.files import made
from stand.load import flood, pace, sessions
from stand.measure import interleave, percentile, ratio, spread
from stand.ours import Wharf, wharf
from stand.postgres import postgres
from stand.run import Bench, bench
from stand.servers import FAST, Keys

SIZE = 10_240  # bytes
SESSIONS = 16
RATE = 200  # files/s, when paced
UPLOADS = 3  # of 1 GB in each turn
TWO_CORES = frozenset({0, 1})


def main() -> None:
    """Throughput, then latency."""
    with bench("end_to_end", __doc__, rounds=5, slow_disk=True, ledgers=True) as b, ExitStack() as servers:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, TWO_CORES & os.sched_getaffinity(0) or os.sched_getaffinity(0))
        ledger = "sqlite"
        if b.ledger == "postgres":
            ledger = servers.enter_context(postgres(b.work, b.env, b.delay_ms)).made("wharf")
        with wharf(b.work, Keys.made(b.work), b.env, ledger) as running:
            throughput(b, running)
            latency(b, running)


@dataclass(frozen=True, slots=True)
class Flood:
    """One turn of the throughput test."""

    rate: float  # files/s
    server_us: float = 0.0  # CPU a file of all of wharfinger's processes
    client_us: float = 0.0  # CPU a file of the client


def throughput(b: Bench, running: Wharf) -> None:
    """Delivered files a second, as fast as the client can send them."""
    files = b.size(5_000, 64)
    subjects = {to: partial(flood_once, running, to, files) for to in ("bucket", "directory")}
    samples = interleave(subjects | {"bare disk": partial(disk_once, b, files)}, b.rounds, b.tell)
    rates = {name: [one.rate for one in got] for name, got in samples.items()}
    rows = [
        [
            name,
            spread(rates[name]),
            ratio(rates[name], rates["bare disk"]),
            *(spread([getattr(s, cost) for s in got]) for cost in COSTS),
        ]
        for name, got in samples.items()
    ]
    header = ["to", "files/s", "of the bare disk", "wharfinger's CPU, µs a file", "client's CPU, µs a file"]
    load = f"{files:,} files of 10 KB over {SESSIONS} sessions with {IN_FLIGHT} under way in each"
    note = f"{load}; {b.rounds} turns: median (least-greatest)."
    b.report.table("Throughput, SFTP to delivered", header, rows, note)
    b.report.samples("files/s", rates)
    b.report.counts["delivered in floods"] = 2 * files * b.rounds
    b.report.aim("SFTP to delivered in a bucket", spread(rates["bucket"]).median, ">=", 2_500, "files/s")
    b.report.aim(
        "SFTP to delivered: of the bare disk", ratio(rates["bucket"], rates["bare disk"]).median, ">=", 0.15, "times"
    )


IN_FLIGHT = 4
COSTS = ("server_us", "client_us")


def flood_once(running: Wharf, to: str, files: int, number: int) -> Flood:
    """Send, wait until all are delivered, and ask the ledger when the last one was."""
    names = [f"inbound/{to}/flood-{number}-{n}.csv" for n in range(files)]
    with sessions(running.server, SESSIONS) as opened:
        pids = [os.getpid(), *(session.process.pid for session in opened)]
        server, client, begun = cpu.seconds(running.server.pid), cpu.of(pids), time.time()
        flood(opened, names, SIZE, in_flight=IN_FLIGHT)
        client = cpu.of(pids) - client
        running.drained()
        server = cpu.seconds(running.server.pid) - server
    taken = max(running.delivered(begun, files).values()) - begun
    return Flood(files / taken, server * 1e6 / files, client * 1e6 / files)


def disk_once(b: Bench, files: int, number: int) -> Flood:
    """The bare disk's turn."""
    return Flood(disk.rate(b.work / f"disk-{number}", files, SIZE, b.env))


def latency(b: Bench, running: Wharf) -> None:
    """Close to delivered at a steady pace, alone and beside large uploads."""
    files = b.size(RATE * 30, 40)
    large = made(b.work / "large", 1, b.size(10**9, 10**6))
    subjects = {
        "alone": partial(pace_once, running, files, None),
        "beside 1 GB": partial(pace_once, running, files, large),
    }
    samples = interleave(subjects, min(3, b.rounds), b.tell)
    b.report.counts["delivered when paced"] = 2 * files * min(3, b.rounds)
    rows = []
    for name, turns in samples.items():
        p50s, p99s = ([percentile(turn, p) for turn in turns] for p in (50, 99))
        rows.append([name, sum(map(len, turns)), spread(p50s), spread(p99s), max(map(max, turns))])
        b.report.samples(f"ms, {name}, p50 p99 by turn", {"p50": p50s, "p99": p99s})
        b.report.aim(f"close to delivered, {name}, p50", spread(p50s).median, "<=", 15, "ms")
        b.report.aim(f"close to delivered, {name}, p99", spread(p99s).median, "<=", 50, "ms")
    note = (
        "From the moment the client sends CLOSE until the time of transfer in the ledger (its commit follows within a sync), at "
        f"{RATE} files/s over {SESSIONS} sessions. "
        f"`beside 1 GB`: only files closed while one of {UPLOADS} files of 1 GB was under way (one after the other, OpenSSH's sftp)."
    )
    b.report.table("Latency, close to delivered", ["", "files", "p50, ms", "p99, ms", "worst, ms"], rows, note)


def pace_once(running: Wharf, files: int, large: Path | None, number: int) -> list[float]:
    """Milliseconds from CLOSE to delivered for each file."""
    folder = f"inbound/bucket/paced-{number}-{'beside' if large else 'alone'}-"
    begun = time.time()
    with sessions(running.server, SESSIONS) as opened, uploading(running, large, folder) as spans:
        sent = pace(opened, [f"{folder}{n}.csv" for n in range(files)], SIZE, rate=RATE)
    running.drained()
    at = running.delivered(begun, files)
    counted = [one for one in sent if large is None or any(a <= one.closed <= z for a, z in spans)]
    return [(at[f"bench/{one.name}"] - one.closed) * 1e3 for one in counted]


@contextmanager
def uploading(running: Wharf, large: Path | None, name: str) -> Iterator[list[tuple[float, float]]]:
    """Upload the file in `large` a few times while the block runs; answers when each upload began and ended."""
    spans: list[tuple[float, float]] = []
    stop = threading.Event()

    def repeat() -> None:
        while large is not None and len(spans) < UPLOADS and not stop.is_set():
            begun = time.time()
            clients.send(partial(clients.sftp_batch, cipher=FAST), running.server, large, f"{name}large-{len(spans)}")
            spans.append((begun, time.time()))

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield spans
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    main()
