"""
DBOS as its documentation has it: a workflow of one step on a queue, which each process takes from:
`dbos_peer.py URL enqueue FROM TO` or `... work FROM TO CONCURRENCY`.
"""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS, DBOSConfig

from stand.durable import copy

QUEUE = "files"


@DBOS.step()
def copied(source: str, target: str) -> str:
    """The work itself."""
    return copy(source, target)


@DBOS.workflow()
def delivered(source: str, target: str) -> str:
    """What is enqueued for each file."""
    return copied(source, target)


def main(url: str, job: str, source: str, target: str, concurrency: str = "1") -> None:
    """Make the tables and a workflow for each file in `source`, or work until terminated."""
    many = int(concurrency)
    config = DBOSConfig(
        name="bench",
        system_database_url=url,
        sys_db_pool_size=many + 4,
        log_level="WARNING",
        executor_id=str(os.getpid()),
        application_version="1",
    )
    DBOS(config=config)
    DBOS.listen_queues([QUEUE] if job == "work" else [])
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=many, polling_interval_sec=0.01)
    if job == "work":
        signal.sigwait({signal.SIGTERM})
        os._exit(0)
    with ThreadPoolExecutor(8) as pool:
        enqueue = DBOS.enqueue_workflow
        names = sorted(os.listdir(source))
        list(pool.map(lambda name: enqueue(QUEUE, delivered, f"{source}/{name}", f"{target}/{name}"), names))
    DBOS.destroy()


if __name__ == "__main__":
    main(*sys.argv[1:])
