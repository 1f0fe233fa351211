"""
TCP under asyncssh: what is written in one turn of the event loop leaves in one system call.

asyncssh writes every SSH packet on its own, and an empty one before each: left alone, that is eight system calls for a small
upload, and most of the time of the process.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

TURN = 64 << 10
"""Bytes that are read from one connection before all others have their turn: libuv by itself reads 32 times 256 KB, up to 80 ms of work."""

PIECE = 64 << 10
"""Bytes that are handed on at a time: for each packet that asyncssh cuts off, it copies all that is behind it."""


class Corked(asyncio.Transport):
    """A transport that gathers writes until `flush`, or until the loop has run what is ready."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._gathered: list[bytes] = []
        self._before: list[Callable[[], None]] = []

    def write(self, data: bytes) -> None:  # type: ignore[override]
        """See asyncio."""
        self._flush_soon()
        self._gathered.append(data)

    def at_flush(self, work: Callable[[], None]) -> None:
        """Call `work` before the next flush; it may write."""
        self._flush_soon()
        self._before.append(work)

    def flush(self) -> None:
        """Send what was gathered."""
        while self._before:
            self._before.pop(0)()
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self._transport.write(b"".join(gathered))

    def _flush_soon(self) -> None:
        if not self._gathered and not self._before:
            self._loop.call_soon(self.flush)

    def close(self) -> None:
        """See asyncio."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """See asyncio. What was written before and can leave at once still does: it says why."""
        self.flush()
        self._transport.abort()

    def is_closing(self) -> bool:
        """See asyncio."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See asyncio. `transport` is this one."""
        return self if name == "transport" else self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return self._transport.get_write_buffer_size()


class Gangway:
    """Where asyncssh's `listen` gets its connections from: pass it as `tunnel`. They come out of `bound`, a listening socket."""

    def __init__(self, bound: socket.socket) -> None:
        self._bound = bound

    async def create_server(self, session_factory: Callable[[str, int], Any], *_: Any) -> asyncio.Server:
        """Accept TCP connections, each of them corked."""
        return await asyncio.get_running_loop().create_server(lambda: _Boarding(session_factory), sock=self._bound)


class _Boarding(asyncio.Protocol):
    """Between a TCP connection and asyncssh's protocol for it."""

    def __init__(self, session_factory: Callable[[str, int], Any]) -> None:
        self._session_factory = session_factory
        self._loop = asyncio.get_running_loop()
        self._read = 0  # bytes since the last pause

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._corked = Corked(self._transport)
        peer = transport.get_extra_info("peername") or ("", 0)  # none: it has hung up already
        self._protocol = self._session_factory(*peer[:2])
        self._protocol.connection_made(self._corked)

    def data_received(self, data: bytes) -> None:
        pieces = memoryview(data)
        for start in range(0, len(data), PIECE):
            if self._transport.is_closing():  # what came before broke the protocol
                return
            self._protocol.data_received(pieces[start : start + PIECE])
        self._corked.flush()  # what was answered at once
        self._read += len(data)
        if self._read >= TURN and not self._transport.is_closing():
            self._transport.pause_reading()
            self._loop.call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._read = 0
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)
