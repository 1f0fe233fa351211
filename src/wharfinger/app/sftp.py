"""The process that receives by SFTP; landing is its child."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from wharfinger.app import process
from wharfinger.app.backends import open_database, open_hint, open_keyring, open_store
from wharfinger.app.metrics import meter

if TYPE_CHECKING:
    import socket

    from wharfinger.config.settings import Settings
    from wharfinger.ingest.landing import Landing


def listen(settings: Settings, bound: socket.socket) -> None:
    """Be the SFTP server on `bound` until SIGTERM, or until the supervisor is gone."""
    import uvloop

    from wharfinger.config.order import grouping
    from wharfinger.ingest import Land, land
    from wharfinger.ingest.landing import Landing

    def opened() -> Land:
        bound.close()
        ledger, group = open_database(settings).ledger, grouping(settings.order)
        return partial(land, open_store(settings), ledger, settings.bucket, group=group)

    with closing(Landing(opened)) as landing:
        uvloop.run(_listen(settings, bound, landing))


async def _listen(settings: Settings, bound: socket.socket, landing: Landing) -> None:
    import asyncio
    import gc

    from wharfinger.ingest import prepare
    from wharfinger.ingest.sftp import server
    from wharfinger.store.staging import Staging

    assert settings.listeners.sftp
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    line = process.lifeline()
    process.stop_loop_by(stopped.set, line)
    loop.add_reader(landing.sentinel, stopped.set)  # without it nothing lands: the supervisor starts both anew
    database, store, hint = open_database(settings), open_store(settings), open_hint(settings)
    listener = await server.serve(
        settings.listeners.sftp,
        bound,
        store=store,
        staging=Staging(store.staging),
        database=database,
        keyring=open_keyring(settings, database.audit),
        land=landing,
        prepare=partial(prepare, store, settings.bucket),
        customers=settings.customers,
        min_free=settings.min_free,
        data=settings.data,
        hint=hint.send,
        meter=meter(settings),
    )
    gc.freeze()  # what stands for good is not looked through again and again for garbage
    host, port = bound.getsockname()[:2]
    line.ready(f"sftp {host}:{port} {listener.fingerprint}")
    await stopped.wait()
    loop.remove_reader(landing.sentinel)
    await listener.close()
    hint.close()
    store.close()
    database.close()
