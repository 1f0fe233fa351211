"""Checkpoints of runs that have ended: what they keep is of no use, and is removed."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence

from wharfinger.engine.level import each
from wharfinger.errors import LedgerError, NoSpace, StoreError
from wharfinger.ledger import Ledger
from wharfinger.model import Lease
from wharfinger.store import Store
from wharfinger.telemetry import crash
from wharfinger.telemetry.trouble import Trouble

REST_S = 60.0
"""After a refusal nothing is removed for so long: each try puts a line into the journal for every object, and may wait for the store."""

LONGEST_REST_S = 900.0
"""The rest doubles with each refusal up to so long, until all have been gone through without one."""

_log = logging.getLogger(__name__)


class Spent:
    """
    Removes what such checkpoints keep, of at most MANY runs a call; also where a worker was killed before it came to this. What is
    refused stays until all after it, in the order of the runs' ids, have had their turn: it holds up nothing else for long.
    """

    def __init__(self, ledger: Ledger, store: Store, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ledger, self._store, self._monotonic = ledger, store, monotonic
        self._after = ""  # the last run that had its turn
        self._due = 0.0
        self._rest_s = REST_S
        self._is_refused = False  # any since the first run had its turn
        self._trouble = Trouble(
            _log,
            begins="what checkpoints kept for runs that have ended cannot be removed; it takes up room, and is tried again",
            ends="what checkpoints kept for runs that have ended is removed again",
        )

    def remove(self) -> None:
        """Remove some, unless the store has refused too short a time ago. What cannot be removed is no trouble to who calls this."""
        if self._monotonic() < self._due:
            return
        with contextlib.suppress(LedgerError):
            obsolete = self._ledger.obsolete_checkpoints(after=self._after)
            answers = each(self._delete, obsolete)
            self._pass_over(obsolete, next((answer for answer in answers if answer), None))
            if gone := [lease for lease, error in zip(obsolete, answers) if error is None]:
                crash.point("worker.dropped")
                self._ledger.drop_checkpoints(gone)

    def _delete(self, obsolete: Sequence[Lease]) -> list[StoreError | None]:
        try:
            self._store.delete([ref for lease in obsolete if lease.checkpoint for ref in lease.checkpoint.kept])
        except StoreError as error:
            if not _is_no_objects_fault(error):
                raise
            return [error] * len(obsolete)
        return [None] * len(obsolete)

    def _pass_over(self, obsolete: Sequence[Lease], error: Exception | None) -> None:
        if error:
            self._trouble.tell(error)
            self._is_refused = True
            self._after = obsolete[-1].run
            self._due = self._monotonic() + self._rest_s
            self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)
        elif not obsolete:
            if not self._is_refused:
                self._trouble.tell(None)
                self._rest_s = REST_S
            self._after, self._is_refused = "", False


def _is_no_objects_fault(error: StoreError) -> bool:
    """Whether none of a group would fare better by itself."""
    return isinstance(error, NoSpace) or error.code == "NOT_PERMITTED"
