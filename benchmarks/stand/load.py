"""
A lean SFTP client for load: raw version 3 packets through OpenSSH's `ssh -s sftp`, many sessions in one thread.

The client shares the machine with the server, so it must cost little: encryption is OpenSSH's, and what is left for Python is to
build OPEN, WRITE and CLOSE and to read the answers (draft-ietf-secsh-filexfer-02, sections 3 to 7).
"""

from __future__ import annotations

import fcntl
import os
import selectors
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from stand.servers import HOST, Server

INIT, VERSION, OPEN, CLOSE, WRITE, STATUS, HANDLE = 1, 2, 3, 4, 6, 101, 102  # filexfer-02, 3
CREATE = 0x02 | 0x08 | 0x10  # SSH_FXF_WRITE | CREAT | TRUNC, filexfer-02, 6.3
PIPE = 1 << 20  # bytes that a session may have on its way before a write would block
HEAD = struct.Struct(">IBI")  # length, type, request id
LENGTH = struct.Struct(">I")


@dataclass(slots=True)
class Sent:
    """One file on its way. Times are epoch seconds; 0 = not yet."""

    name: str
    offset: int  # of its bytes in the common body: every file differs
    closed: float = 0.0  # when CLOSE was sent
    answered: float = 0.0  # when CLOSE was answered
    refused: str = ""


@dataclass(slots=True)
class Session:
    """One SSH connection with the subsystem sftp. Requests of one file carry its number times four, plus the kind."""

    process: subprocess.Popen[bytes]
    files: dict[int, Sent] = field(default_factory=dict)
    unread: bytes = b""
    count: int = 0

    @property
    def out(self) -> int:
        """The descriptor to write packets to."""
        assert self.process.stdin
        return self.process.stdin.fileno()

    @property
    def back(self) -> int:
        """The descriptor to read answers from."""
        assert self.process.stdout
        return self.process.stdout.fileno()

    def begin(self, sent: Sent) -> None:
        """Open a new file."""
        self.files[self.count] = sent
        name = sent.name.encode()
        rest = LENGTH.pack(len(name)) + name + struct.pack(">II", CREATE, 0)
        os.write(self.out, HEAD.pack(5 + len(rest), OPEN, self.count << 2) + rest)
        self.count += 1

    def answers(self) -> Iterator[tuple[int, int, bytes]]:
        """What has come in: (type, request id, the rest of the packet)."""
        read = os.read(self.back, 1 << 18)
        if not read:
            raise ConnectionError(f"ssh ended with {self.process.wait(10)} and {len(self.files)} files open")
        data, at = self.unread + read, 0
        while len(data) - at >= 4 and len(data) - at >= 4 + (length := LENGTH.unpack_from(data, at)[0]):
            _, kind, number = HEAD.unpack_from(data, at)
            yield kind, number, data[at + 9 : at + 4 + length]
            at += 4 + length
        self.unread = data[at:]

    def fill(self, number: int, handle: bytes, body: memoryview) -> None:
        """Write the whole file and close it, in one go."""
        sent = self.files[number]
        size = len(body)
        write = HEAD.pack(5 + len(handle) + 12 + size, WRITE, number << 2 | 1) + handle + struct.pack(">QI", 0, size)
        close = HEAD.pack(5 + len(handle), CLOSE, number << 2 | 2) + handle
        sent.closed = time.time()
        os.writev(self.out, [write, body, close])

    def take(self, size: int, body: memoryview) -> list[Sent]:
        """Go on with what the server has answered; the files that are finished by it."""
        done = []
        for kind, request, rest in self.answers():
            number, step = request >> 2, request & 3
            if kind == HANDLE:
                offset = self.files[number].offset
                self.fill(number, rest, body[offset : offset + size])
                continue
            sent = self.files[number]
            if kind != STATUS or rest[:4] != b"\0\0\0\0":
                sent.refused = sent.refused or repr(rest[8:])
            if step != 1:  # CLOSE, or an OPEN that was refused
                sent.answered = time.time()
                done.append(self.files.pop(number))
        return done


@contextmanager
def sessions(server: Server, count: int) -> Iterator[list[Session]]:
    """So many open sessions, greeted and ready."""
    with ExitStack() as stack:
        opened = [_dialled(server, stack) for _ in range(count)]
        for session in opened:
            os.write(session.out, LENGTH.pack(5) + bytes([INIT]) + LENGTH.pack(3))
        for session in opened:
            kind = next(kind for kind, *_ in session.answers())
            assert kind == VERSION, kind
        yield opened


def _dialled(server: Server, stack: ExitStack) -> Session:
    target = ["-p", str(server.port), "-l", server.user, "-s", HOST, "sftp"]
    command = ["ssh", *server.ssh_options(), *target]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    stack.enter_context(process)
    stack.callback(process.terminate)
    assert process.stdin
    fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, PIPE)
    return Session(process)


def flood(
    opened: Sequence[Session], names: Sequence[str], size: int, *, in_flight: int, within_s: float = 300
) -> list[Sent]:
    """Send every name as fast as it is taken, `in_flight` files at a time in each session. Raises TimeoutError after `within_s`."""
    assert in_flight * size < PIPE, "more on its way than a pipe holds: reads and writes could wait for each other"
    todo = iter([Sent(name, n % BODIES) for n, name in enumerate(names)])
    body, done = _body(size), list[Sent]()
    selector = _watching(opened)
    for session in opened:
        for sent in [sent for _, sent in zip(range(in_flight), todo)]:
            session.begin(sent)
    end = time.monotonic() + within_s
    while len(done) < len(names):
        _check(end)
        for event, _ in selector.select(1):
            finished = event.data.take(size, body)
            done += finished
            for _, sent in zip(finished, todo):
                event.data.begin(sent)
    return _accepted(done)


def pace(
    opened: Sequence[Session], names: Sequence[str], size: int, *, rate: float, within_s: float = 300
) -> list[Sent]:
    """Send `rate` files a second, each at its time whether or not the ones before are answered, the sessions in turn."""
    body, done = _body(size), list[Sent]()
    selector = _watching(opened)
    begun, started = time.monotonic(), 0
    while len(done) < len(names):
        _check(begun + within_s)
        while started < len(names) and time.monotonic() >= begun + started / rate:
            opened[started % len(opened)].begin(Sent(names[started], started % BODIES))
            started += 1
        next_s = begun + started / rate - time.monotonic() if started < len(names) else 1.0
        for event, _ in selector.select(max(0.0, next_s)):
            done += event.data.take(size, body)
    return _accepted(done)


BODIES = 100_000  # different contents


def _accepted(sent: list[Sent]) -> list[Sent]:
    if refused := [one for one in sent if one.refused]:
        raise RuntimeError(f"{len(refused)} of {len(sent)} files were refused, the first: {refused[0]}")
    return sent


def _body(size: int) -> memoryview:
    return memoryview(os.urandom(size + BODIES))


def _watching(opened: Sequence[Session]) -> selectors.BaseSelector:
    selector = selectors.DefaultSelector()
    for session in opened:
        selector.register(session.back, selectors.EVENT_READ, session)
    return selector


def _check(end: float) -> None:
    if time.monotonic() > end:
        raise TimeoutError("the load did not end in time")
