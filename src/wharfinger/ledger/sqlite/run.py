"""The pieces of SQL that the verbs of the queue share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw

from wharfinger.ledger.run import Found
from wharfinger.ledger.sqlite.connection import many, rows

NAMED = "WHERE id IN (SELECT value FROM json_each(?))"
UNCLAIMED = "owner = NULL, claimed = NULL, due = NULL"

_FIND = (
    "SELECT id, state, status, token, tries, crashes, solo, size, due, owner, claimed, "
    "coalesce(checkpoint ->> 'revision', '') <> '', waits, parent, file, input ->> 'pipeline', input ->> 'member', "
    "state = 'done' AND error <> '', grp, hold FROM run "
)


def find(tx: apsw.Connection, where: str, *values: Any) -> dict[str, Found]:
    """The runs that `where` selects, by id."""
    return {r[0]: Found(*r) for r in rows(tx, _FIND + where, *values)}


def named(tx: apsw.Connection, ids: Sequence[str]) -> dict[str, Found]:
    """The runs of these ids that there are."""
    return find(tx, NAMED, many(ids))
