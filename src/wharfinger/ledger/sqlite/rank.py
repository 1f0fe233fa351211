"""
Fair turns: start-time fair queueing (Goyal, Vin and Cheng, 1996) over customers.

Time here is virtual: the `turn` is the highest rank that was ever claimed. Work that enters the queue is ranked behind the
turn and behind the customer's own last work, by what it costs. So a customer's hundred thousand files lie one behind the
other, and another's one file comes next, however slow the workers are and whatever the clock does.
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from wharfinger.ledger.sqlite.connection import first, insert, many, rows

_LAST = "SELECT customer, rank FROM share WHERE customer IN (SELECT value FROM json_each(?))"
_COST = "SELECT file_id, customer, cost FROM file WHERE file_id IN (SELECT value FROM json_each(?))"


def enter(tx: apsw.Connection, work: Sequence[tuple[str, int]]) -> list[int]:
    """The ranks of work (customer, cost in µs) that enters the queue in this order."""
    turn = first(tx, "SELECT coalesce((SELECT value FROM figure WHERE name = 'turn'), 0)")[0]
    last: dict[str, int] = dict(rows(tx, _LAST, many(sorted({customer for customer, _ in work}))))
    ranks = []
    for customer, cost in work:
        last[customer] = max(turn, last.get(customer, 0)) + max(cost, 1)
        ranks.append(last[customer])
    insert(tx, "share(customer, rank)", list(last.items()), conflict="ON CONFLICT DO UPDATE SET rank = excluded.rank")
    return ranks


def enter_again(tx: apsw.Connection, ids: Sequence[str]) -> dict[str, int]:
    """The ranks of runs that enter the queue once more, for a retry or a replay: they pay as new work does."""
    if not ids:
        return {}
    work = {id: (customer, cost) for id, customer, cost in rows(tx, _COST, many(ids))}
    return dict(zip(work, enter(tx, [*work.values()])))


def serve(tx: apsw.Connection, rank: int) -> None:
    """Work up to this rank was claimed."""
    conflict = "ON CONFLICT DO UPDATE SET value = max(value, excluded.value)"
    insert(tx, "figure(name, value)", [("turn", rank)], conflict=conflict)
