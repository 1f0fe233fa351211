"""The pieces of SQL that the verbs of the queue share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wharfinger.ledger.postgres.connection import Transaction, rows
from wharfinger.ledger.run import Found
from wharfinger.model import State, Status

UNCLAIMED = "owner = NULL, claimed = NULL, due = NULL"

_FIND = """
SELECT id, state, status, token, tries, crashes, solo, size, due, owner, claimed, resumes, waits, parent, file,
  input::json ->> 'pipeline', input::json ->> 'member', state = 'done' AND error <> '', grp, hold FROM run
"""

NAMED = "WHERE id = ANY(%s::text[]) ORDER BY id FOR NO KEY UPDATE"

KIN = """
WHERE id = ANY(ARRAY(
  SELECT given.id FROM unnest(%s::text[]) AS given(id)
  UNION ALL
  SELECT unnest(ARRAY[child.parent, child.file]) FROM run child WHERE child.id = ANY(%s::text[]) AND child.parent IS NOT NULL
)) ORDER BY id FOR NO KEY UPDATE
"""


def find(tx: Transaction, where: str, *values: Any) -> dict[str, Found]:
    """The runs that `where` selects, by id."""
    found = rows(tx, _FIND + where, *values)
    return {r[0]: Found(r[0], State(r[1]), Status(r[2]), *r[3:]) for r in found}


def named(tx: Transaction, ids: Sequence[str]) -> dict[str, Found]:
    """The runs of these ids that there are, locked."""
    return find(tx, NAMED, [*ids])


def with_kin(tx: Transaction, ids: Sequence[str]) -> dict[str, Found]:
    """The runs of these ids that there are; of children also their parents, and the runs that have their history. All are locked."""
    return find(tx, KIN, [*ids], [*ids])
