from __future__ import annotations

from itertools import product

import pytest

from wharfinger.errors import LedgerError
from wharfinger.ledger.figure import Tally
from wharfinger.model import MOVES, State, Status

PAIRS = [(before, after) for before, after in product(State, State) if before != after]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_only_legal_moves_are_made(before: State, after: State) -> None:
    tally = Tally()
    if after in MOVES[before]:
        tally.moved((before, Status.QUEUED), (after, Status.QUEUED))
    else:
        with pytest.raises(LedgerError, match=f"{before} cannot become {after}"):
            tally.moved((before, Status.QUEUED), (after, Status.QUEUED))


def test_what_comes_to_nothing_changes_nothing() -> None:
    tally = Tally()
    tally.moved((State.READY, Status.QUEUED), (State.LEASED, Status.PROCESSING))
    tally.moved((State.LEASED, Status.PROCESSING), (State.READY, Status.QUEUED))
    assert tally.changes() == []
