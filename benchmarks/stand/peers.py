"""Other engines that remember jobs in Postgres, each doing our work for each job: fetch it, copy 10 KB durably, record it as done."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from stand.postgres import Postgres
from stand.servers import running

HERE = Path(__file__).resolve().parent
LIMIT_S = 120  # for all jobs of a turn


@dataclass(frozen=True, slots=True)
class Peer:
    """An engine; the program beside this module that runs it; and the query that tells how many jobs are done, and when the last was."""

    name: str
    program: str
    done: str


PEERS = (
    Peer(
        "procrastinate",
        "procrastinate_peer.py",
        "SELECT count(*), extract(epoch FROM max(at))::float8 FROM procrastinate_events WHERE type = 'succeeded'",
    ),
    Peer(
        "dbos",
        "dbos_peer.py",
        "SELECT count(*), max(updated_at) / 1000.0::float8 FROM dbos.workflow_status WHERE status = 'SUCCESS'",
    ),
)


def absent(peer: Peer) -> str:
    """Why a peer has to be left out; "" where it is there."""
    return "" if importlib.util.find_spec(peer.name) else f"{peer.name} is not installed (pip install {peer.name})"


def run(
    peer: Peer,
    server: Postgres,
    source: Path,
    target: Path,
    env: Mapping[str, str],
    *,
    processes: int,
    concurrency: int,
    database: str,
) -> float:
    """Copy all files of `source` to `target`, a job each, all enqueued before the first begins; when the last was done (epoch s)."""
    files = len(os.listdir(source))
    program = [sys.executable, str(HERE / peer.program), server.made(database)]
    places = [str(source), str(target)]
    env = {**env, "PYTHONPATH": str(HERE.parent)}
    undelayed = {name: value for name, value in env.items() if name != "LD_PRELOAD"}
    subprocess.run([*program, "enqueue", *places], env=undelayed, check=True, timeout=LIMIT_S)
    with ExitStack() as workers:
        for _ in range(processes):
            workers.enter_context(running([*program, "work", *places, str(concurrency)], env=env, stop_s=5))
        finished = _finished(peer, server, database, files)
    server.rest(database)
    return finished


def _finished(peer: Peer, server: Postgres, database: str, files: int) -> float:
    end = time.monotonic() + LIMIT_S
    while True:
        done, last = server.ask(database, peer.done)
        if done >= files:
            return float(last)
        if time.monotonic() > end:
            raise TimeoutError(f"{peer.name} did {done} of {files} jobs in {LIMIT_S} s")
        time.sleep(0.2)
