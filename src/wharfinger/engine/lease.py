"""The runs of a claim: which of them the worker holds, and until when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from wharfinger.engine import retry
from wharfinger.ledger import Ledger
from wharfinger.model import Checkpoint, Lease, Run

NO_CHECKPOINTS: Mapping[str, Checkpoint] = {}


class Leases:
    """
    Shared by the worker's thread, which begins and ends runs, and its heartbeat, which extends their leases and gives back what
    has not begun. A run that the ledger has given to somebody else is dropped: nothing more may be done for it.
    """

    def __init__(self, ledger: Ledger, lease_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.closed = False  # nothing more is begun; a plain flag, since a signal handler sets it
        self._ledger, self._lease_s, self._clock = ledger, lease_s, clock
        self._lock = threading.Lock()
        self._waiting: dict[str, Lease] = {}  # claimed and not begun
        self._begun: dict[str, Lease] = {}
        self._returning: dict[str, Lease] = {}  # the ledger is being told
        self._claimed = 0.0  # when, by the clock
        self._until = 0.0  # when the first of them may end

    def take(self, runs: Sequence[Run], claimed: float) -> None:
        """These are ours since `claimed`, the clock's time before the claim."""
        with self._lock:
            self._waiting = {run.id: Lease(run.id, run.token) for run in runs}
            self._begun = {}
            self._claimed, self._until = claimed, claimed + self._lease_s

    def begin(self, run: str) -> bool:
        """Whether to work on this run, from its beginning or further on."""
        with self._lock:
            if run in self._waiting and not self.closed:
                self._begun[run] = self._waiting.pop(run)
            return run in self._begun

    def holds(self, run: str) -> bool:
        """Whether the run has begun and is still ours, as far as is known."""
        with self._lock:
            return run in self._begun

    def confirm(self) -> None:
        """Make sure of it, if the leases may have ended: the process was stopped, or a machine slept."""
        if self._clock() >= self._until:
            retry.insist(self.extend)

    def renew(self) -> None:
        """Extend the leases once a third of their time has gone. Raises LedgerError."""
        if self._until - self._clock() < self._lease_s * 2 / 3:
            self.extend()

    def extend(self, checkpoints: Mapping[str, Checkpoint] = NO_CHECKPOINTS) -> None:
        """Hold all that we have for another lease, and record the checkpoints by run. Raises LedgerError."""
        now = self._clock()
        with self._lock:
            held = [*self._waiting.values(), *self._begun.values()]
        leases = [Lease(each.run, each.token, checkpoints.get(each.run)) for each in held]
        answers = self._ledger.extend(leases, self._lease_s) if leases else []
        with self._lock:
            self._until = max(self._until, now + self._lease_s)
            for lease, is_ours in zip(leases, answers):
                if not is_ours:
                    self._drop(lease)

    def _drop(self, lost: Lease) -> None:
        for leases in (self._waiting, self._begun):
            if lost.run in leases and leases[lost.run].token == lost.token:  # it may have been settled and claimed anew
                del leases[lost.run]

    def give_back(self, *, after_s: float = 0.0) -> list[str]:
        """
        Release the runs that have not begun, if the claim is so old. Answers which. Raises LedgerError; what could not be released
        goes with the next call.
        """
        with self._lock:
            if self._clock() >= self._claimed + after_s:
                self._returning.update(self._waiting)
                self._waiting = {}
            returning = [*self._returning.values()]
        if returning:
            self._ledger.release(returning)
        with self._lock:
            for lease in returning:
                self._returning.pop(lease.run, None)
        return [lease.run for lease in returning]

    def abandon(self) -> list[str]:
        """Release all, begun or not: this process ends. Answers which; raises LedgerError."""
        with self._lock:
            self._waiting.update(self._begun)
            self._begun = {}
        return self.give_back()

    def end(self) -> None:
        """What has begun is settled."""
        with self._lock:
            self._begun = {}
