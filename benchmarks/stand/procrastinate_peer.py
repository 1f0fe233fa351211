"""
procrastinate as its documentation has it for work that waits: jobs deferred in bulk, an asynchronous task and a worker that runs many
at once: `procrastinate_peer.py URL enqueue FROM TO` or `... work FROM TO CONCURRENCY`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from procrastinate import App, PsycopgConnector

from stand.durable import copy


def main(url: str, job: str, source: str, target: str, concurrency: str = "1") -> None:
    """Make the tables and a job for each file in `source`, or work until terminated."""
    many = int(concurrency)
    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    app = App(connector=PsycopgConnector(conninfo=url, min_size=many, max_size=many + 4))

    @app.task(name="copy", queue="files")
    async def copied(name: str) -> str:
        return await asyncio.to_thread(copy, f"{source}/{name}", f"{target}/{name}")

    if job == "work":
        app.run_worker(queues=["files"], concurrency=many, delete_jobs="never")
        return
    with app.open():
        app.schema_manager.apply_schema()
        copied.batch_defer(*({"name": name} for name in sorted(os.listdir(source))))


if __name__ == "__main__":
    main(*sys.argv[1:])
