"""
Landing in a process of its own.

Making files durable is many short system calls, and Python takes its interpreter lock again after each. Beside an event loop that
decrypts, the commits would wait for the lock longer than for the disk, and the loop for them. So a listener hands over whole
groups, with their descriptors, and keeps its process to itself.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import pickle
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from wharfinger.errors import LedgerError, WharfingerError
from wharfinger.ingest import Answers, Land, Upload
from wharfinger.ledger import MANY
from wharfinger.telemetry import crash

_log = logging.getLogger(__name__)

_SIZE = struct.Struct(">I")  # bytes of the pickle that follows
_MOST = 1 << 16  # bytes that are received at once


class Landing:
    """
    `land` in a forked process; await the instance as one calls `land`, for one group at a time. `open` runs there first and
    answers the `land` to use; what it raises is raised here. Make it before this process has threads, or anything open that a fork must
    not share.
    """

    def __init__(self, open: Callable[[], Land]) -> None:
        self._line, there = socket.socketpair()
        fork = multiprocessing.get_context("fork")
        self._process = fork.Process(target=_serve, args=(self._line, there, open), name="landing")
        self._process.start()
        there.close()
        try:
            error = _receive(self._line)
        except EOFError:
            self.close()
            raise
        if error is not None:
            self.close()
            raise error
        self._line.setblocking(False)

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the process has ended."""
        return self._process.sentinel

    async def __call__(self, uploads: Sequence[Upload]) -> Answers:
        """
        See `land`; every upload has a descriptor. Raises LedgerError also where the process cannot be reached: then nobody knows
        what landed, and it will end.
        """
        packed = _packed([replace(upload, fd=None) for upload in uploads])
        try:
            sent = socket.send_fds(self._line, [packed], [upload.fd for upload in uploads if upload.fd is not None])
            if sent < len(packed):
                await asyncio.get_running_loop().sock_sendall(self._line, packed[sent:])
            crash.point("intake.handed")
            answers: Answers | WharfingerError = _unpacked(await self._answer())
        except (OSError, EOFError) as exc:
            self._line.close()  # whatever is left on it belongs to no group
            raise _ended("cannot be reached") from exc
        crash.point("intake.answered")
        if isinstance(answers, WharfingerError):
            raise answers
        return answers

    async def _answer(self) -> bytes:
        loop, data = asyncio.get_running_loop(), b""
        while _missing(data):
            if not (more := await loop.sock_recv(self._line, _MOST)):
                raise EOFError
            data += more
        return data

    def close(self) -> None:
        """Let the process end, once it has answered. Raises LedgerError where it ended otherwise."""
        self._line.close()
        self._process.join()
        if code := self._process.exitcode:
            raise _ended(f"ended with status {code}" if code > 0 else f"was killed by {signal.Signals(-code).name}")


def _serve(listener: socket.socket, line: socket.socket, open: Callable[[], Land]) -> None:
    """Be the process, until the listener is gone: signals are for the listener, which finishes what clients have asked for."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    listener.close()
    try:
        land = open()
    except WharfingerError as exc:
        line.sendall(_packed(exc))
        return
    gc.freeze()
    with suppress(EOFError, ConnectionError):  # the listener is gone
        line.sendall(_packed(None))
        while True:
            packed, fds, *_ = socket.recv_fds(line, _MOST, MANY)
            uploads = _receive(line, packed)
            line.sendall(_packed(_answer(land, uploads, fds)))


def _answer(land: Land, uploads: Sequence[Upload], fds: Sequence[int]) -> Answers | WharfingerError:
    try:
        return land([replace(upload, fd=fd) for upload, fd in zip(uploads, fds, strict=True)])
    except WharfingerError as exc:
        return exc
    except Exception as exc:  # the process outlives a group, and tells no more than what surely reaches the other side
        _log.exception("a group could not land")
        return LedgerError(
            f"a group could not land: {exc!r}", code="LANDING_FAILED", fix="look into the log of wharf serve"
        )
    finally:
        for fd in fds:
            os.close(fd)


def _packed(what: object) -> bytes:
    data = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
    return _SIZE.pack(len(data)) + data


def _unpacked(data: bytes) -> Any:
    return pickle.loads(memoryview(data)[_SIZE.size :])  # noqa: S301 (it is we who wrote it)


def _missing(data: bytes) -> int:
    """How many bytes of what was packed have not come yet, as far as its beginning tells."""
    size = _SIZE.unpack_from(data)[0] if len(data) >= _SIZE.size else 0
    return int(_SIZE.size + size - len(data))


def _receive(line: socket.socket, data: bytes = b"") -> Any:
    """Wait for the rest of what was packed. Raises EOFError where the other end was closed."""
    while _missing(data):
        if not (more := line.recv(_MOST)):
            raise EOFError
        data += more
    return _unpacked(data)


def _ended(how: str) -> LedgerError:
    text = f"the process that takes files into custody {how}"
    return LedgerError(
        text, code="LANDING_ENDED", fix="the supervisor starts it anew; senders repeat what was not acknowledged"
    )
