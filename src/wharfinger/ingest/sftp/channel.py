"""One channel of an SSH connection: a session behind the subsystem `sftp`, a sentence behind everything else."""

# ruff: noqa: ARG002, D102 (the hooks are asyncssh's)

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import asyncssh

from wharfinger.ingest.sftp.codec import ProtocolError
from wharfinger.ingest.sftp.session import Session, Wire

NO_SHELL = "This server speaks SFTP only: it has no shell and runs no commands. Use sftp, or scp without -O.\n"

STUCK = 1 << 20
"""Bytes that may wait for a client to take them, beside SSH's own window, which is the client's to choose."""

_PAUSE = 0.002  # s between two looks at a client that is slow

_log = logging.getLogger(__name__)


class Channel(asyncssh.SSHServerSession[bytes]):
    """
    Carries bytes between asyncssh's channel and a `Session`, and answers with exit status 0 when the client has ended it (scp
    takes any other for a failure). `heard` is called whenever the client says something; `spawn` runs what takes longer.
    """

    def __init__(
        self,
        session: Callable[[Wire], Session],
        *,
        heard: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._make, self._heard, self._spawn = session, heard, spawn
        self._session: Session | None = None
        self._ending: asyncio.Task[None] | None = None
        self._gathered: list[bytes] = []  # for one SSH packet
        self._is_lost = self._is_window_full = self._is_stuck = False

    @property
    def is_busy(self) -> bool:
        """Whether something that the client asked for is under way, and not for want of the client's taking it."""
        return self._session is not None and self._session.is_busy and not self.is_congested

    @property
    def is_congested(self) -> bool:
        """Whether the client is slow to take what it is sent."""
        return not self._is_lost and (self._is_window_full or self._is_stuck)

    @property
    def untaken(self) -> int:
        """Bytes that wait for the client to take them."""
        if self._is_lost:
            return 0
        below: int = self._chan.get_write_buffer_size() + self._transport.get_write_buffer_size()
        return sum(map(len, self._gathered)) + below

    @property
    def is_over(self) -> bool:
        """Whether it is closed."""
        return self._is_lost

    async def end(self, status: int = 0) -> None:
        """Finish what is under way, turn open uploads into partials, close the channel."""
        if self._ending is None:
            self._ending = self._spawn(self._end(status))
        await asyncio.shield(self._ending)

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._chan = chan
        self._transport = chan.get_extra_info("transport")

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        if subsystem == "sftp":
            self._session = self._make(self)
        return self._session is not None

    def session_started(self) -> None:
        if self._session is None:
            self._chan.write_stderr(NO_SHELL.encode())
            self._chan.exit(1)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._heard()
        if self._session is None or self._ending is not None:
            return
        try:
            self._session.receive(data)
        except ProtocolError as exc:
            _log.warning("a client was cut off: %s", exc)
            self._ending = self._spawn(self._end(1))

    def eof_received(self) -> bool:
        if self._session is not None and self._ending is None:
            self._ending = self._spawn(self._end(0))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._congest()
        if self._session is not None and self._ending is None:
            self._ending = self._spawn(self._end(0))

    def pause_writing(self) -> None:
        self._is_window_full = True
        self._congest()

    def resume_writing(self) -> None:
        self._is_window_full = False
        self._congest()

    def write(self, data: bytes) -> None:
        """See Wire. Leaves with all that is written before the transport sends. Bytes for a client that has gone are dropped."""
        if not self._gathered:
            self._transport.at_flush(self._send)
        self._gathered.append(data)

    def _send(self) -> None:
        gathered, self._gathered = self._gathered, []
        if self._is_lost or self._chan.is_closing():
            return
        self._chan.write(b"".join(gathered))
        if not self._is_stuck and self._transport.get_write_buffer_size() > STUCK:
            self._check()

    def pause_reading(self) -> None:
        """See Wire."""
        self._chan.pause_reading()

    def resume_reading(self) -> None:
        """See Wire."""
        self._chan.resume_reading()

    def _check(self) -> None:
        """Look whether the client takes what it is sent: it may have granted a window without end and read nothing."""
        self._is_stuck = not self._is_lost and self._transport.get_write_buffer_size() > STUCK
        if self._is_stuck:
            asyncio.get_running_loop().call_later(_PAUSE, self._check)
        self._congest()

    def _congest(self) -> None:
        if self._session is not None:
            self._session.congest(self.is_congested)

    async def _end(self, status: int) -> None:
        try:
            if self._session is not None:
                await self._session.end()
                self._send()
        finally:
            self._chan.exit(status)
