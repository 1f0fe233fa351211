"""Has the histories of files covered by signed checkpoints, again and again."""

from __future__ import annotations

import time
from collections.abc import Callable

from wharfinger.errors import LedgerError, Unproven
from wharfinger.ledger import Audit, Sign


class Checkpointer:
    """
    Call it often: every `every_s` seconds there is a checkpoint, if anything has happened. The ledger sees to it that only one
    process makes it; the first comes `every_s` after this process began.
    """

    def __init__(
        self, audit: Audit, sign: Sign, every_s: float, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._audit, self._sign, self._every_s, self._monotonic = audit, sign, every_s, monotonic
        self._begin = monotonic() + every_s

    def __call__(self) -> None:
        """Make a checkpoint if it is time. Raises LedgerError, also where the last one was changed: then nothing has changed."""
        if self._monotonic() < self._begin:
            return
        try:
            self._audit.checkpoint(self._sign, every_s=self._every_s)
        except Unproven as exc:
            raise LedgerError(f"the last checkpoint was changed: {exc}", fix="wharf audit verify") from exc
