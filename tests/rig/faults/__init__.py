"""
Faults that a careless change might bring in, by room. Each function gives the product one of them, from the outside, for as long as
its process lives (see seeded.py).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any


def suppressed(work: Callable[..., object], error: type[Exception]) -> Callable[..., None]:
    """`work`, whose errors nobody hears of."""

    def quiet(*given: Any) -> None:
        with suppress(error):
            work(*given)

    return quiet
