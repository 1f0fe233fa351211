"""
Landing in a process of its own.

Making files durable is many short system calls, and Python takes its interpreter lock again after each. Beside an event loop that decrypts,
the commits would wait for the lock longer than for the disk, and the loop for them. So a listener hands over whole groups, with their
descriptors, and keeps its process to itself.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection

from wharfinger.errors import LedgerError, WharfingerError
from wharfinger.ingest import Upload
from wharfinger.model import Arrival

Answers = Sequence[Arrival | WharfingerError]
Land = Callable[[Sequence[Upload]], Answers]


class Landing:
    """
    `land` in a forked process; call the instance as one calls `land`, from one thread at a time. `open` runs there first and
    answers the `land` to use. Make it before this process has threads or anything open that a fork must not share.
    """

    def __init__(self, open: Callable[[], Land]) -> None:
        fork = multiprocessing.get_context("fork")
        here, there = fork.Pipe()
        self._process = fork.Process(target=_serve, args=(here, there, open), name="landing")
        self._process.start()
        there.close()
        self._pipe = here

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the process has ended."""
        return self._process.sentinel

    def __call__(self, uploads: Sequence[Upload]) -> Answers:
        """See `land`; every upload has a descriptor. Raises LedgerError also where the process has died: then nobody knows what landed."""
        try:
            self._pipe.send([replace(upload, fd=None) for upload in uploads])
            _send(self._pipe, [upload.fd for upload in uploads if upload.fd is not None])
            answers: Answers | Exception = self._pipe.recv()
        except (OSError, EOFError) as exc:
            raise _ended() from exc
        if isinstance(answers, Exception):
            raise answers
        return answers

    def close(self) -> None:
        """Let the process end, once it has answered. Raises LedgerError where it had ended otherwise."""
        self._pipe.close()
        self._process.join()
        if self._process.exitcode:
            raise _ended()


def _serve(listener: Connection, pipe: Connection, open: Callable[[], Land]) -> None:
    """Be the process, until the listener is gone: signals are for the listener, which finishes what clients have asked for."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    listener.close()
    land = open()
    gc.freeze()
    with suppress(EOFError, OSError):
        while True:
            pipe.send(_answer(land, pipe))


def _answer(land: Land, pipe: Connection) -> Answers | Exception:
    uploads: list[Upload] = pipe.recv()
    fds = _receive(pipe, len(uploads))
    try:
        return land([replace(upload, fd=fd) for upload, fd in zip(uploads, fds, strict=True)])
    except Exception as exc:  # the process outlives a group
        return exc
    finally:
        for fd in fds:
            os.close(fd)


def _ended() -> LedgerError:
    return LedgerError(
        "the process that takes files into custody has ended", code="LANDING_ENDED", fix="send the file again"
    )


def _send(pipe: Connection, fds: Sequence[int]) -> None:
    with socket.socket(fileno=os.dup(pipe.fileno())) as way:
        socket.send_fds(way, [b"."], fds)


def _receive(pipe: Connection, count: int) -> list[int]:
    with socket.socket(fileno=os.dup(pipe.fileno())) as way:
        return socket.recv_fds(way, 1, count)[1]
