"""The HTTP listener: connections and their limits by uvicorn, what a request means by `door`."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from wharfinger.config.settings import Customer, Http
from wharfinger.ingest.http import ticket, tls
from wharfinger.ingest.http.door import Door
from wharfinger.ingest.sftp.collector import Collector, HandOver
from wharfinger.ledger import Database
from wharfinger.store import Store
from wharfinger.telemetry.throttle import WINDOW_S

HEADERS = 16 << 10
"""Bytes that a request's line and headers may have."""

GRACE = 20
"""Seconds that requests which have begun may take when the server stops."""


async def serve(
    settings: Http,
    bound: socket.socket,
    *,
    bucket: str,
    store: Store,
    database: Database,
    land: HandOver,
    customers: Mapping[str, Customer],
    min_free: int,
    data: Path,
    hint: Callable[[Sequence[str]], None],
) -> Listener:
    """Serve HTTP clients that connect to `bound` until `Listener.close`. Raises ConfigError for an unusable secret or certificate."""
    collector = Collector(land, hint=hint)
    door = Door(
        secret=ticket.secret(settings.secret, data),
        bucket=bucket,
        store=store,
        database=database,
        customers=customers,
        land=collector.land,
        min_free=min_free,
        idle_s=settings.idle_s,
    )
    listener = Listener(_config(door), door, collector, settings)
    await listener.open(bound, tls.context(settings))
    return listener


def _config(door: Door) -> uvicorn.Config:
    app = Starlette(routes=[Route(f"{ticket.PREFIX}{{key:path}}", door.put, methods=["PUT"])])
    config = uvicorn.Config(
        app,
        http=H11Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEADERS,
    )
    config.load()
    return config


class Guarded(H11Protocol):
    """uvicorn's connection, with the limits that it lacks: on their number, and on the time until a request has begun."""

    _patience: asyncio.TimerHandle | None = None

    def __init__(self, config: uvicorn.Config, state: ServerState, settings: Http) -> None:
        super().__init__(config, state, {})
        self._settings = settings

    def connection_made(self, transport: Any) -> None:
        """See asyncio. One too many is cut off."""
        super().connection_made(transport)
        if len(self.connections) > self._settings.max_connections:
            transport.abort()
            return
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        super().data_received(data)
        self._arm()

    def on_response_complete(self) -> None:
        """See uvicorn."""
        super().on_response_complete()
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        """The clock runs from the moment at which a request could begin until it has."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._disarm()
        elif self._patience is None and not self.transport.is_closing():
            self._patience = self.loop.call_later(self._settings.header_s, self.transport.abort)

    def _disarm(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


class Listener:
    """The server in this process's loop."""

    def __init__(self, config: uvicorn.Config, door: Door, collector: Collector, settings: Http) -> None:
        self._config, self._door, self._collector, self._settings = config, door, collector, settings
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._rounds: asyncio.Task[None] | None = None

    async def open(self, bound: socket.socket, context: ssl.SSLContext | None) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Guarded(self._config, self._state, self._settings), sock=bound, ssl=context
        )
        self._rounds = loop.create_task(self._look())

    async def close(self) -> None:
        """Accept nobody more, answer what has begun, and hang up."""
        if self._server:
            self._server.close()
        if self._rounds:
            self._rounds.cancel()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=GRACE)
        for connection in list(self._state.connections):
            connection.transport.abort()
        await self._collector.close()
        self._door.close()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(WINDOW_S)
            self._door.look()
