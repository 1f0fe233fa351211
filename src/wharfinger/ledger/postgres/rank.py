"""
Fair turns (see ledger.rank) as rows.

So that no two transactions wait for each other, each locks runs first, then the shares of all customers in one statement, then in
another the sums that it changes (see figure).
"""

from __future__ import annotations

from collections.abc import Sequence

from wharfinger.ledger.postgres.connection import Transaction, columns, rows
from wharfinger.ledger.rank import Work, costs, ranks, to_work

_ENTER = """
WITH turn AS MATERIALIZED (SELECT coalesce(max(value), 0) AS rank FROM figure WHERE name = 'turn')
INSERT INTO share(customer, rank)
SELECT work.customer, turn.rank + work.cost FROM unnest(%s::text[], %s::bigint[]) AS work(customer, cost), turn
ON CONFLICT (customer) DO UPDATE
SET rank = greatest(excluded.rank, share.rank + excluded.rank - (SELECT rank FROM turn))
RETURNING customer, rank
"""

_COST = """
SELECT r.id, f.customer, f.cost, r.file, r.size FROM run r JOIN file f ON f.file_id = coalesce(r.file, r.id)
WHERE r.id = ANY(%s::text[])
"""

_GIVE = (
    "UPDATE run SET rank = given.rank FROM unnest(%s::text[], %s::bigint[]) AS given(id, rank) WHERE run.id = given.id"
)


def enter(tx: Transaction, work: Sequence[Work]) -> list[int]:
    """The ranks of work that enters the queue in this order. Locks the customers' shares."""
    last: dict[str, int] = dict(rows(tx, _ENTER, *columns(sorted(costs(work).items()))))
    return ranks(work, last)


def enter_again(tx: Transaction, ids: Sequence[str]) -> None:
    """Give ranks to runs, locked, that enter the queue once more, for a retry or a replay: they pay as new work does."""
    if ids:
        work = to_work(rows(tx, _COST, [*ids]))
        tx.execute(_GIVE, columns([*zip(work, enter(tx, [*work.values()]))]))
