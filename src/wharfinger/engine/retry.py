"""When to try again: exponential backoff with full jitter."""

from __future__ import annotations

from collections.abc import Callable


def delay(tries: int, *, rand: Callable[[], float], base_s: float, cap_s: float) -> float:
    """
    Seconds to wait after `tries` failures and one more: uniform in [0, min(cap_s, base_s * 2**tries)); `rand` is uniform in
    [0, 1). Full jitter, so that what failed together does not come back together (M. Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015).
    """
    return rand() * min(cap_s, base_s * 2.0 ** min(tries, 64))
