"""A ledger whose answer is lost on its way, as when a connection ends during a commit."""

from __future__ import annotations

from typing import Any

import pytest

from wharfinger.errors import LostAnswer
from wharfinger.ledger import Ledger


def lose_answer(ledger: Ledger, verb: str, patch: pytest.MonkeyPatch, *, is_done: bool) -> list[str]:
    """The next answer of this verb is lost, after it was done or instead. The list has the verb once that has happened."""
    honest = getattr(ledger, verb)
    lost: list[str] = []

    def answer(*given: Any, **named: Any) -> Any:
        if not lost:
            lost.append(verb)
            if is_done:
                honest(*given, **named)
            raise LostAnswer("the connection was lost during a commit")
        return honest(*given, **named)

    patch.setattr(ledger, verb, answer)
    return lost
