"""Has the histories of files covered by signed checkpoints, again and again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from wharfinger.errors import LedgerError, Unproven
from wharfinger.ledger import Audit, Sign
from wharfinger.telemetry.trouble import Trouble


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
        self._trouble = Trouble(
            logging.getLogger(__name__),
            begins="no checkpoint can be made over the histories of files; it is tried again each second; wharf audit verify says more",
            ends="checkpoints are made again, over all that happened meanwhile",
        )

    def __call__(self) -> None:
        """Make a checkpoint if it is time. What prevents it is logged, and changes nothing else."""
        if self._monotonic() < self._begin:
            return
        try:
            self._audit.checkpoint(self._sign, every_s=self._every_s)
        except (LedgerError, Unproven) as error:
            self._trouble.tell(error)
        else:
            self._trouble.tell(None)
