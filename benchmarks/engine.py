"""
The engine alone.

A backlog of 10 KB files, each fetched, copied to a directory (checked, synced, renamed, the folder synced) and recorded as done: by
`wharf serve` without a listener, on SQLite and on Postgres, with its full audit (an event chain a file, the delivery in the journal),
beside procrastinate and DBOS on the same Postgres server doing the same for each job. Two worker processes each; the peers with many
jobs under way in each, as their documentation has it. In turns; a rate is of the last nine tenths, so that no start counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from stand import peers
from stand.custody import SIZE, fill
from stand.files import made
from stand.measure import interleave, ratio, spread
from stand.ours import NO_SFTP, opened, serving
from stand.postgres import Postgres, missing, postgres
from stand.run import Bench, bench
from wharfinger.ledger import Database, Filter
from wharfinger.model import Status

PROCESSES = 2  # workers of each
CONCURRENCY = 16  # jobs under way in each of a peer's processes
LIMIT_S = 120  # for a turn
ON_SQLITE, ON_POSTGRES = "wharfinger, SQLite", "wharfinger, Postgres"


def main() -> None:
    """All that are here, in turns."""
    with bench("engine", __doc__, rounds=5, slow_disk=True) as b, ExitStack() as servers:
        turns: dict[str, Callable[[int], float]] = {ON_SQLITE: partial(ours, b, None)}
        if why := missing():
            b.report.say(f"Left out: Postgres and all peers, since {why}.")
        else:
            server = servers.enter_context(postgres(b.work, b.env, b.delay_ms))
            b.report.machine["postgres"] = f"{server.version}, fsync on; a commit of one row {server.commit_ms:.2f} ms"
            turns[ON_POSTGRES] = partial(ours, b, server)
            turns |= with_peers(b, server)
        compare(b, interleave(turns, b.rounds, b.tell))


def with_peers(b: Bench, server: Postgres) -> dict[str, Callable[[int], float]]:
    """The turns of the peers that are installed; the report tells of the others."""
    here = {peer.name: partial(theirs, b, server, peer) for peer in peers.PEERS if not peers.absent(peer)}
    for why in filter(None, map(peers.absent, peers.PEERS)):
        b.report.say(f"Left out: {why}.")
    return here


def compare(b: Bench, rates: dict[str, list[float]]) -> None:
    """Rates, and ours over the better peer's of the same round."""
    others = [values for name, values in rates.items() if name not in (ON_SQLITE, ON_POSTGRES)]
    better = [max(turn) for turn in zip(*others)]
    rows = [[name, spread(values), ratio(values, better) if better else "-"] for name, values in rates.items()]
    note = (
        f"{b.size(OURS, 256):,} files of ours and {b.size(THEIRS, 64):,} jobs of each peer a turn; {PROCESSES} processes each, in a peer's "
        f"{CONCURRENCY} jobs at a time; {b.rounds} turns: median (least-greatest)."
    )
    b.report.table("Fetched, copied and recorded", ["", "files/s", "of the better peer"], rows, note)
    b.report.samples("files/s", rates)
    for name in (ON_SQLITE, ON_POSTGRES):
        if name in rates and len(others) == len(peers.PEERS):  # the better of fewer may not be the better
            b.report.aim(f"{name}: of the better peer", ratio(rates[name], better).median, ">=", 3, "times")


OURS, THEIRS = 5_000, 1_000


def ours(b: Bench, server: Postgres | None, number: int) -> float:
    """Files a second through our workers."""
    files, name = b.size(OURS, 256), f"ours-{number}"
    home = b.work / f"{name}-{'postgres' if server else 'sqlite'}"
    with closing(opened(home, server.made(name) if server else "sqlite", NO_SFTP)) as wired:
        fill(wired, 0, files)
        os.sync()
        with serving(home, b.env):
            last = finished(wired.database, files)
        warehouse = home / "wharf" / "warehouse"
        answer = rate(warehouse, files, last)
    if server:
        server.rest(name)
    b.report.counts[f"{ON_POSTGRES if server else ON_SQLITE}: delivered"] = count(warehouse)
    return answer


def theirs(b: Bench, server: Postgres, peer: peers.Peer, number: int) -> float:
    """Files a second through a peer's workers."""
    files, home = b.size(THEIRS, 64), b.work / f"{peer.name}-{number}"
    (home / "to").mkdir(parents=True)
    source, target = made(home / "from", files, SIZE), home / "to"
    os.sync()
    last = peers.run(
        peer, server, source, target, b.env, processes=PROCESSES, concurrency=CONCURRENCY, database=home.name
    )
    answer = rate(target, files, last)
    b.report.counts[f"{peer.name}: delivered"] = count(target)
    return answer


def finished(database: Database, files: int) -> float:
    """When the last of so many files was delivered (epoch s), once all are; raises TimeoutError."""
    end = time.monotonic() + LIMIT_S
    while database.catalog.counts().files.get(Status.TRANSFERRED, 0) < files:
        if time.monotonic() > end:
            raise TimeoutError(f"not all were delivered in {LIMIT_S} s: {database.catalog.counts()}")
        time.sleep(0.2)
    last, after = 0.0, ""
    while page := database.catalog.files(Filter(), limit=1000, after=after):
        last = max([last, *(record.transfer_timestamp or 0.0 for record in page)])
        after = page[-1].file_id
    return last


def rate(folder: Path, files: int, last: float) -> float:
    """Files a second, from when a tenth of them lay under `folder` until the last was recorded as done (epoch s)."""
    seen = sorted(entry.stat().st_ctime for entry in folder.rglob("*") if entry.is_file())
    tenth = files // 10
    return (files - tenth) / (last - seen[tenth])


def count(folder: Path) -> int:
    """Files of the right size below `folder`."""
    return sum(entry.stat().st_size == SIZE for entry in folder.rglob("*") if entry.is_file())


if __name__ == "__main__":
    main()
