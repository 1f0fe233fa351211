"""The supervisor: keeps the processes of `wharf serve` alive, and ends them together."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from wharfinger.engine import retry
from wharfinger.engine.lifeline import KILL_S, LIFELINE, OWNER, READY
from wharfinger.telemetry import crash

BASE_S, CAP_S = 0.1, 10.0
"""A child that died is started again after rand(0, min(CAP_S, BASE_S * 2**deaths)) seconds."""

STEADY_S = 10.0
"""A child that has lived for so long is forgiven its earlier deaths."""


MOURN_S = 5.0
"""How long a supervisor that ends waits until what its children held is taken back."""

_KILLED = float("inf")  # the time to kill, once that is done


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep alive. It is to end at SIGTERM, and when its lifeline ends (see lifeline.py)."""

    name: str  # "worker-1"
    argv: tuple[str, ...]
    fds: tuple[int, ...] = ()  # descriptors that it inherits: a listening socket outlives the listener
    claims: bool = False  # runs of the ledger, which are to be taken back when it dies


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that an operator may want to see."""

    kind: Literal["started", "ready", "died", "ended", "killed", "failed"]
    child: str
    text: str = ""


class Bereaved(Protocol):
    """Takes back what a child held that has died. It has `crashed`, unless a person who could not wait had it killed."""

    def __call__(self, *, owner: str, crashed: bool) -> object: ...  # noqa: D102


class Supervisor:
    """
    Runs children until SIGTERM or SIGINT. Either is passed on; what has not ended `grace_s` later, or at a second signal, is
    killed. `bereaved` is told the owner name of each child that claimed and died, to take back what it held: in a thread of its own,
    so that nothing waits for a ledger that does not answer. If it fails, the leases run out by themselves. Killed itself, a
    supervisor leaves no orphans: every child holds a pipe that ends with it.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        notice: Callable[[Notice], None],
        bereaved: Bereaved,
        grace_s: float = KILL_S,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._lives = [_Life(child) for child in children]
        self._notice, self._bereaved, self._grace_s, self._rand = notice, bereaved, grace_s, rand
        self._selector = selectors.DefaultSelector()
        self._mourners: list[threading.Thread] = []
        self._signals = 0
        self._kill_at: float | None = None  # monotonic s, as all times here

    def run(self) -> bool:
        """
        Start all, keep them alive, and return when a signal came and all have ended; False where a second signal left them no
        time to finish. In the main thread only.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._selector)
            lifeline, _held = stack.enter_context(_pipe())
            woken, wake = stack.enter_context(_pipe())
            stack.enter_context(_signals_to(wake, {signal.SIGTERM: self._stop, signal.SIGINT: self._stop}))
            self._selector.register(woken, selectors.EVENT_READ)
            for life in self._lives:
                self._start(life, lifeline)
            crash.point("supervisor.started")
            while not self._signals or any(life.process for life in self._lives):
                self._listen()
                self._end_all()
                for life in self._lives:
                    self._tend(life, lifeline)
            self._end_mourning()
        return not self._is_hurried

    @property
    def _is_hurried(self) -> bool:
        return self._signals > 1

    def _stop(self, *_signal: Any) -> None:
        self._signals += 1

    def _listen(self) -> None:
        """Wait until a child speaks, a signal comes, or something is due; pass on what the children say."""
        for key, _ in self._selector.select(min(1.0, max(0.0, self._next_due() - time.monotonic()))):
            if key.data is None:
                os.read(key.fd, 4096)
            else:
                self._hear(key.data)

    def _next_due(self) -> float:
        if self._signals:
            return self._kill_at or 0.0
        return min((life.due for life in self._lives if not life.process), default=float("inf"))

    def _hear(self, life: _Life) -> None:
        for text in life.hear():
            self._notice(Notice("ready", life.child.name, text))
        if life.is_silent:
            self._forget(life.heard)

    def _forget(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def _tend(self, life: _Life, lifeline: int) -> None:
        if life.process and life.process.poll() is not None:
            self._bury(life, life.process.returncode)
        if not life.process and not self._signals and time.monotonic() >= life.due:
            self._start(life, lifeline)

    def _start(self, life: _Life, lifeline: int) -> None:
        try:
            pid = life.start(lifeline)
        except OSError as exc:
            life.put_off(self._rand)
            self._notice(Notice("failed", life.child.name, f"cannot start {life.child.argv[0]}: {exc.strerror}"))
        else:
            self._selector.register(life.heard, selectors.EVENT_READ, life)
            self._notice(Notice("started", life.child.name, str(pid)))

    def _bury(self, life: _Life, code: int) -> None:
        crash.point("supervisor.bereaved")
        self._hear(life)
        self._forget(life.heard)
        life.bury()
        life.put_off(self._rand)
        self._notice(Notice("ended" if self._signals else "died", life.child.name, _cause(code)))
        if life.child.claims:
            self._mourn(life.child.name, life.owner, crashed=code != 0 and not self._is_hurried)

    def _mourn(self, name: str, owner: str, *, crashed: bool) -> None:
        def mourn() -> None:
            try:
                self._bereaved(owner=owner, crashed=crashed)
            except Exception as exc:  # the supervisor outlives a ledger that cannot be reached
                self._notice(Notice("failed", name, f"what it held comes back when its lease ends: {exc}"))

        self._mourners = [each for each in self._mourners if each.is_alive()]
        self._mourners.append(threading.Thread(target=mourn, name=f"mourning {owner}", daemon=True))
        self._mourners[-1].start()

    def _end_mourning(self) -> None:
        until = time.monotonic() + MOURN_S
        for each in self._mourners:
            each.join(max(0.0, until - time.monotonic()))

    def _end_all(self) -> None:
        """After a signal: ask once, then kill what takes too long."""
        if not self._signals:
            return
        alive = [life for life in self._lives if life.process and life.process.poll() is None]
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._grace_s
            for life in alive:
                life.signal(signal.SIGTERM)
        elif self._kill_at < _KILLED and (self._is_hurried or time.monotonic() >= self._kill_at):
            self._kill_at = _KILLED
            why = "killed at the second signal" if self._is_hurried else "killed, it did not end in time"
            for life in alive:
                life.signal(signal.SIGKILL)
                self._notice(Notice("killed", life.child.name, why))


class _Life:
    """One incarnation after another of a child."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.owner = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.heard = -1  # the end of a pipe where its "ready" lines come out
        self.is_silent = False  # it has closed the other end
        self.due = 0.0  # when it is started next
        self._born = 0.0
        self._deaths = 0  # in a row
        self._line = b""  # the beginning of one

    def start(self, lifeline: int) -> int:
        """Its process id. Raises OSError."""
        self.owner = f"{self.child.name}-{secrets.token_hex(8)}"
        self._born, self._line, self.is_silent = time.monotonic(), b"", False
        self.heard, said = os.pipe()
        os.set_blocking(self.heard, False)
        environ = {**os.environ, LIFELINE: str(lifeline), READY: str(said), OWNER: self.owner}
        try:
            self.process = subprocess.Popen(self.child.argv, env=environ, pass_fds=(lifeline, said, *self.child.fds))
        except OSError:
            os.close(self.heard)
            raise
        finally:
            os.close(said)
        return self.process.pid

    def hear(self) -> list[str]:
        """The lines it has said since the last call."""
        with contextlib.suppress(BlockingIOError):
            while more := os.read(self.heard, 4096):
                self._line += more
            self.is_silent = True
        *lines, self._line = self._line.split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def bury(self) -> None:
        os.close(self.heard)
        self.process = None

    def put_off(self, rand: Callable[[], float]) -> None:
        now = time.monotonic()
        self._deaths = 0 if now - self._born >= STEADY_S else self._deaths
        self.due = now + retry.delay(self._deaths, rand=rand, base_s=BASE_S, cap_s=CAP_S)
        self._deaths += 1


def _cause(code: int) -> str:
    return f"exit status {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        os.close(read)
        os.close(write)


@contextlib.contextmanager
def _signals_to(wake: int, handlers: Mapping[signal.Signals, Callable[..., None]]) -> Iterator[None]:
    """Handle these signals, and let them (and a child's death) end a wait on the other end of `wake`."""
    os.set_blocking(wake, False)
    before = {number: signal.signal(number, handle) for number, handle in handlers.items()}
    before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
    waker = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(waker)
        for number, handle in before.items():
            signal.signal(number, handle)
