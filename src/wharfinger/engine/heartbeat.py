"""A thread beside the worker's own: keeps its leases, gives back what must not wait, ends what takes too long, and sweeps."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from wharfinger.engine.execution import Execution
from wharfinger.engine.lease import Leases
from wharfinger.engine.lifeline import GRACE_S
from wharfinger.errors import LedgerError

TICK_S = 0.05

PATIENCE_S = 0.25
"""A claimed run that has not begun by then goes back, so that it is nobody's hostage."""

SWEEP_S = 1.0

STILL_S = 120.0
"""A heart that has been still for so long means a step that holds the interpreter: the kernel then ends the process."""


class Watch:
    """Knows the step that is running. A thread cannot be stopped: `overrun` settles what can be settled and ends the process."""

    def __init__(self, overrun: Callable[[Execution], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._overrun, self._clock = overrun, clock
        self._lock = threading.Lock()
        self._running: tuple[Execution, float] | None = None

    def begin(self, execution: Execution) -> None:
        """Its next step starts now."""
        with self._lock:
            self._running = execution, self._clock() + execution.stage.seconds

    def end(self) -> None:
        """The step has ended. Does not return while an overrun is being dealt with."""
        with self._lock:
            self._running = None

    def check(self) -> None:
        """Deal with a step that is past its time."""
        with self._lock:
            if self._running and self._clock() >= self._running[1]:
                self._overrun(self._running[0])


class Heartbeat:
    """Beats while it is entered. `released` is told of runs that were given back; `sweep` is called once a second."""

    def __init__(
        self,
        leases: Leases,
        watch: Watch,
        *,
        sweep: Callable[[], object],
        released: Callable[[Sequence[str]], object],
        grace_s: float = GRACE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases, self._watch, self._sweep, self._released, self._clock = leases, watch, sweep, released, clock
        self._grace_s = grace_s
        self._yield_at: float | None = None  # once the leases are closed
        self._sweep_at = clock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._live, name="heartbeat", daemon=True)

    def __enter__(self) -> None:
        _survive()
        self._thread.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _live(self) -> None:
        while not self._stopped.wait(TICK_S):
            _survive()
            self.beat()

    def beat(self) -> None:
        """Do what is due. A ledger that cannot be reached is tried again at the next beat."""
        self._watch.check()
        for duty in (self._leases.renew, self._return, self._yield, self._clear_up):
            try:
                duty()
            except LedgerError:
                continue

    def _return(self) -> None:
        self._released(self._leases.give_back(after_s=PATIENCE_S))

    def _yield(self) -> None:
        """Let go of what has begun, when the time to finish is over: no crash is counted for it, if the process is killed."""
        if not self._leases.closed:
            return
        if self._yield_at is None:
            self._yield_at = self._clock() + self._grace_s
        if self._clock() >= self._yield_at:
            self._released(self._leases.abandon())

    def _clear_up(self) -> None:
        """Nothing where the worker is about to end: it would wait for a ledger that is away."""
        if self._clock() >= self._sweep_at and not self._leases.closed:
            self._sweep_at = self._clock() + SWEEP_S
            self._sweep()


def _survive() -> None:
    """Put off the end: SIGALRM is deadly by default."""
    signal.setitimer(signal.ITIMER_REAL, STILL_S)
