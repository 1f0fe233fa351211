"""
Landing in a process of its own.

Making files durable is many short system calls, and Python takes its interpreter lock again after each. Beside an event loop that
decrypts, the commits would wait for the lock longer than for the disk, and the loop for them. So a listener hands over whole
groups, with their descriptors, and keeps its process to itself.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection

from wharfinger.errors import LedgerError, WharfingerError
from wharfinger.ingest import Answers, Land, Upload
from wharfinger.ledger import MANY
from wharfinger.telemetry import crash

_log = logging.getLogger(__name__)


class Landing:
    """
    `land` in a forked process; call the instance as one calls `land`, from one thread at a time. `open` runs there first and
    answers the `land` to use; what it raises is raised here. Make it before this process has threads, or anything open that a fork must
    not share.
    """

    def __init__(self, open: Callable[[], Land]) -> None:
        here, there = socket.socketpair()
        fork = multiprocessing.get_context("fork")
        self._process = fork.Process(target=_serve, args=(here, there, open), name="landing")
        self._process.start()
        there.close()
        self._line = _Line(here)
        with suppress(EOFError):
            if (error := self._line.receive()) is None:
                return
            self.close()
            raise error
        self.close()

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the process has ended."""
        return self._process.sentinel

    def __call__(self, uploads: Sequence[Upload]) -> Answers:
        """
        See `land`; every upload has a descriptor. Raises LedgerError also where the process cannot be reached: then nobody knows
        what landed, and it will end.
        """
        try:
            self._line.send_fds([upload.fd for upload in uploads if upload.fd is not None])
            self._line.send([replace(upload, fd=None) for upload in uploads])
            crash.point("intake.handed")
            answers: Answers | WharfingerError = self._line.receive()
        except (OSError, EOFError) as exc:
            self._line.close()  # whatever is left on it belongs to no group
            raise _ended("cannot be reached") from exc
        crash.point("intake.answered")
        if isinstance(answers, WharfingerError):
            raise answers
        return answers

    def close(self) -> None:
        """Let the process end, once it has answered. Raises LedgerError where it ended otherwise."""
        self._line.close()
        self._process.join()
        if code := self._process.exitcode:
            raise _ended(f"ended with status {code}" if code > 0 else f"was killed by {signal.Signals(-code).name}")


class _Line:
    """One end of a pair of sockets, for objects and descriptors."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._pipe = Connection(os.dup(end.fileno()))
        self.send, self.receive = self._pipe.send, self._pipe.recv

    def send_fds(self, fds: Sequence[int]) -> None:
        socket.send_fds(self._socket, [b"."], fds)

    def receive_fds(self, most: int) -> list[int]:
        """Raises EOFError where the other end was closed."""
        data, fds, *_ = socket.recv_fds(self._socket, 1, most)
        if not data:
            raise EOFError
        return fds

    def close(self) -> None:
        self._socket.close()
        self._pipe.close()


def _serve(listener: socket.socket, here: socket.socket, open: Callable[[], Land]) -> None:
    """Be the process, until the listener is gone: signals are for the listener, which finishes what clients have asked for."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    listener.close()
    line = _Line(here)
    try:
        land = open()
    except WharfingerError as exc:
        line.send(exc)
        return
    gc.freeze()
    with suppress(EOFError, ConnectionError):  # the listener is gone
        line.send(None)
        while True:
            fds = line.receive_fds(MANY)
            line.send(_answer(land, line.receive(), fds))


def _answer(land: Land, uploads: Sequence[Upload], fds: Sequence[int]) -> Answers | WharfingerError:
    try:
        return land([replace(upload, fd=fd) for upload, fd in zip(uploads, fds, strict=True)])
    except WharfingerError as exc:
        return exc
    except Exception as exc:  # the process outlives a group, and tells no more than what surely reaches the other side
        _log.exception("a group could not land")
        return LedgerError(f"a group could not land: {exc!r}", code="LANDING_FAILED")
    finally:
        for fd in fds:
            os.close(fd)


def _ended(how: str) -> LedgerError:
    text = f"the process that takes files into custody {how}"
    return LedgerError(
        text, code="LANDING_ENDED", fix="the supervisor starts it anew; senders repeat what was not acknowledged"
    )
