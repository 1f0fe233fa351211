"""The process that receives by HTTP."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from wharfinger.app import process
from wharfinger.app.backends import open_database, open_hint, open_store
from wharfinger.errors import UsageError

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from wharfinger.config.settings import Http, Settings


def receive(settings: Settings, bound: socket.socket) -> None:
    """Be the HTTP server on `bound` until SIGTERM, or until the supervisor is gone. Raises UsageError where its libraries are missing."""
    import uvloop

    check_installed()
    uvloop.run(_receive(settings, bound))


def check_installed() -> None:
    """Raises UsageError where the libraries of the HTTP listener are not installed."""
    try:
        import_module("wharfinger.ingest.http.server")
    except ModuleNotFoundError as exc:
        raise UsageError(f"the HTTP listener needs {exc.name}", fix="in the checkout: pip install '.[http]'") from exc


async def _receive(settings: Settings, bound: socket.socket) -> None:
    import asyncio

    from wharfinger.config.order import grouping
    from wharfinger.ingest import land
    from wharfinger.ingest.http import server

    place = settings.listeners.http
    assert place
    line, stopped = process.lifeline(), asyncio.Event()
    process.stop_loop_by(stopped.set, line)
    with (
        closing(open_database(settings)) as database,
        closing(open_store(settings)) as store,
        closing(open_hint(settings)) as hint,
    ):
        door = partial(land, store, database.ledger, settings.bucket, group=grouping(settings.order))
        listener = await server.serve(
            place,
            bound,
            bucket=settings.bucket,
            store=store,
            database=database,
            land=partial(asyncio.to_thread, door),
            customers=settings.customers,
            min_free=settings.min_free,
            data=settings.data,
            hint=hint.send,
        )
        host, port = bound.getsockname()[:2]
        line.ready(f"{'https' if place.certificate else 'http'} {host}:{port}")
        await stopped.wait()
        await listener.close()


def check_http(place: Http, data: Path) -> None:
    """Before the server is started: what would make it fail for ever. Raises UsageError and ConfigError."""
    from wharfinger.ingest.http import ticket, tls

    check_installed()
    ticket.secret(place.secret, data)
    tls.context(place)
