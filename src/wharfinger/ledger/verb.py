"""What the verbs of every ledger take, and what they refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wharfinger.ledger import MANY

ANY_SIZE = (1 << 63) - 1
"""Bytes: no file is larger."""


def refuse_more(elements: Sequence[Any]) -> None:
    """Raise ValueError where one call carries more than MANY."""
    if len(elements) > MANY:
        raise ValueError(f"{len(elements)} elements in one call; at most {MANY} are taken")


def refuse_limit(limit: int) -> None:
    """Raise ValueError where a claim asks for nothing or for more than MANY."""
    if not 0 < limit <= MANY:
        raise ValueError(f"{limit} runs cannot be claimed at once; 1 to {MANY} can")
