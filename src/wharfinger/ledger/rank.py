"""
Fair turns: start-time fair queueing (Goyal, Vin and Cheng, 1996) over customers.

Time here is virtual: the `turn` is the highest rank that was ever claimed. Work that enters the queue is ranked behind the
turn and behind the customer's own last work, by what it costs. So a customer's hundred thousand files lie one behind the
other, and another's one file comes next, however slow the workers are and whatever the clock does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

Work = tuple[str, int]
"""A customer, and what the work costs of that customer's share; µs."""


def costs(work: Sequence[Work]) -> dict[str, int]:
    """What each customer pays for all of this."""
    total: Counter[str] = Counter()
    for customer, cost in work:
        total[customer] += _paid(cost)
    return dict(total)


def ranks(work: Sequence[Work], last: Mapping[str, int]) -> list[int]:
    """The ranks of work that enters the queue in this order, of which the last of each customer has the rank `last`."""
    left, found = costs(work), []
    for customer, cost in work:
        left[customer] -= _paid(cost)
        found.append(last[customer] - left[customer])
    return found


def child_cost(size: int) -> int:
    """What a child run on so many bytes costs of its customer's share, in µs: 1 ms, and 1 ms for each MiB."""
    return 1000 + size // 1049


def to_work(found: Iterable[tuple[str, str, int, str | None, int]]) -> dict[str, Work]:
    """What each run is that enters the queue once more: id, customer, cost of its file, the file of a child, bytes."""
    return {id: (customer, child_cost(size) if file else cost) for id, customer, cost, file, size in found}


def _paid(cost: int) -> int:
    return max(cost, 1)
