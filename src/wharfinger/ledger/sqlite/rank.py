"""Fair turns (see ledger.rank) as rows."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from wharfinger.ledger.rank import Work, costs, ranks, to_work
from wharfinger.ledger.sqlite.connection import first, insert, many, rows

_LAST = "SELECT customer, rank FROM share WHERE customer IN (SELECT value FROM json_each(?))"
_COST = """
SELECT r.id, f.customer, f.cost, r.file, r.size FROM json_each(?) wanted
CROSS JOIN run r ON r.id = wanted.value CROSS JOIN file f ON f.file_id = coalesce(r.file, r.id)
"""


def enter(tx: apsw.Connection, work: Sequence[Work]) -> list[int]:
    """The ranks of work that enters the queue in this order."""
    turn = first(tx, "SELECT coalesce((SELECT value FROM figure WHERE name = 'turn'), 0)")[0]
    paid = costs(work)
    before: dict[str, int] = dict(rows(tx, _LAST, many(sorted(paid))))
    last = {customer: max(turn, before.get(customer, 0)) + cost for customer, cost in paid.items()}
    insert(tx, "share(customer, rank)", list(last.items()), conflict="ON CONFLICT DO UPDATE SET rank = excluded.rank")
    return ranks(work, last)


def enter_again(tx: apsw.Connection, ids: Sequence[str]) -> dict[str, int]:
    """The ranks of runs that enter the queue once more, for a retry or a replay: they pay as new work does."""
    if not ids:
        return {}
    work = to_work(rows(tx, _COST, many(ids)))
    return dict(zip(work, enter(tx, [*work.values()])))


def serve(tx: apsw.Connection, rank: int) -> None:
    """Work up to this rank was claimed."""
    conflict = "ON CONFLICT DO UPDATE SET value = max(value, excluded.value)"
    insert(tx, "figure(name, value)", [("turn", rank)], conflict=conflict)
