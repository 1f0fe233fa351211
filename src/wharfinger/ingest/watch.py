"""Keeps looking at the sources: when the system tells of a change, when a file may have become whole, and now and then in any case."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import watchfiles

from wharfinger.errors import WharfingerError
from wharfinger.ingest.account import Account
from wharfinger.ingest.reconcile import Reconciler

TICK_S = 0.25
"""How often it is asked whether a look is due."""

SHARE = 0.1
"""Looks take at most this share of the time, however many changes are told: those of a large folder take long."""

AGAIN_S = 1.0
"""So soon another look follows where a file was not whole yet."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Round:
    """One source and how it is watched."""

    reconciler: Reconciler
    stirrings: Callable[
        [threading.Event], Iterator[bool]
    ]  # True: something may have changed; False: some time has passed
    scan_s: float
    confirm: Callable[[Account], object] = lambda _: (
        None
    )  # hears of every look that ended well, in the thread of the stirrings


class Watch:
    """
    Each source in a thread of its own, so that one that hangs holds up no other. `told` hears of every account. Trouble is logged
    once, when it begins. A thread ends when it is stopped and by nothing else: files would be stranded.
    """

    def __init__(self, rounds: Sequence[Round], *, told: Callable[[Account], None]) -> None:
        self._rounds, self._told = rounds, told
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._follow, args=(each,), name=each.reconciler.source.name) for each in rounds
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let looks that are under way end after the file that they are at."""
        self._stopped.set()
        for each in self._rounds:
            each.reconciler.stop()

    def join(self) -> None:
        """Return when all have ended."""
        for thread in self._threads:
            thread.join()

    def _follow(self, round: Round) -> None:
        due, free = 0.0, 0.0  # monotonic s: when a look must follow, and when it may
        teller = Teller(round.reconciler.source.name)
        for stirred in round.stirrings(self._stopped):
            now = time.monotonic()
            if self._stopped.is_set() or now < free or not (stirred or now >= due):
                due = free if stirred else due
                continue
            account = look(round.reconciler, teller.last, self._tell)
            rest = (time.monotonic() - now) / SHARE
            account = replace(account, rest=rest)
            if self._stopped.is_set():
                return  # it may have ended early: what it did not come to is neither told nor confirmed
            self._tell(account)
            teller.tell(account)
            if not account.error:
                with _outliving(account):
                    round.confirm(account)
            free = now + rest
            due = max(free, now + (min(AGAIN_S, round.scan_s) if account.waiting else round.scan_s))

    def _tell(self, account: Account) -> None:
        with _outliving(account):
            self._told(account)


@contextmanager
def _outliving(account: Account) -> Iterator[None]:
    try:
        yield
    except Exception:
        _log.exception("source %s: what a look found could not be passed on", account.source)


def look(reconciler: Reconciler, last: Account | None, seen: Callable[[Account], object]) -> Account:
    """What a look finds, and `seen` now and then how far it has come; where there can be none, the last account with the reason."""
    try:
        return reconciler.look(seen=seen)
    except Exception as exc:  # the process outlives a folder that is not there, and a ledger that is busy
        before = last or Account(reconciler.source.name, time.time(), 0, 0, 0, 0, 0)
        return replace(before, at=time.time(), landed=0, error=_words(exc))


def _words(error: Exception) -> str:
    return f"{error.code}: {error}; {error.fix}" if isinstance(error, WharfingerError) else f"INTERNAL: {error!r}"


class Teller:
    """Logs what is new in the accounts of one source."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.last: Account | None = None

    def tell(self, account: Account) -> None:
        """Log what was not so at the last look."""
        before, self.last = self.last, account
        if account.error and account.error != (before.error if before else ""):
            _log.error("source %s cannot be looked at: %s", self._name, account.error)
        if not account.error and before and before.error:
            _log.warning("source %s is looked at again", self._name)
        known = {(each.file, each.code) for each in before.problems} if before else set()
        for each in account.problems:
            if (each.file, each.code) not in known:
                _log.warning("source %s: %s: %s; %s", self._name, each.code, each.message, each.fix)


def stirrings(directory: Path, stopped: threading.Event) -> Iterator[bool]:
    """What the system tells of a folder; where it tells nothing (network filesystems, too many watches), only that time passes."""
    while not stopped.is_set():
        try:
            for changes in watchfiles.watch(
                directory,
                watch_filter=None,
                stop_event=stopped,
                rust_timeout=int(TICK_S * 1000),
                yield_on_timeout=True,
                debounce=100,
                step=20,
                raise_interrupt=False,
            ):
                yield bool(changes)
        except (OSError, RuntimeError):  # the folder is not there, or the system has no watch left
            stopped.wait(TICK_S)
            yield False


def ticks(stopped: threading.Event) -> Iterator[bool]:
    """Of a place that tells nothing: time passes."""
    while not stopped.wait(TICK_S):
        yield False
