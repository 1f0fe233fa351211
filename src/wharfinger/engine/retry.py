"""When to try again: exponential backoff with full jitter."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from wharfinger.errors import Busy, LedgerError, NoSpace

T = TypeVar("T")


def delay(tries: int, *, rand: Callable[[], float], base_s: float, cap_s: float) -> float:
    """
    Seconds to wait after `tries` failures and one more: uniform in [0, min(cap_s, base_s * 2**tries)); `rand` is uniform in
    [0, 1). Full jitter, so that what failed together does not come back together (M. Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015).
    """
    return rand() * min(cap_s, base_s * 2.0 ** min(tries, 64))


def insist(call: Callable[[], T]) -> T:
    """
    What `call` answers; it is called again for as long as the ledger is busy or its disk full, with waits that grow to 5 s. No
    repeat mends other errors: they are raised.
    """
    tries = 0
    while True:
        try:
            return call()
        except LedgerError as error:
            if not isinstance(error, Busy) and error.code != NoSpace.code:
                raise
            time.sleep(delay(tries, rand=random.random, base_s=0.05, cap_s=5.0))
            tries += 1
