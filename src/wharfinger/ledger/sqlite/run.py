"""Runs as the verbs of the queue find them, and the pieces of SQL that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from wharfinger.ledger import LARGE
from wharfinger.ledger.sqlite import row
from wharfinger.ledger.sqlite.connection import many, rows
from wharfinger.ledger.sqlite.figure import Place
from wharfinger.model import Lease, State, Status

UPLOADED: Place = (State.READY, Status.UPLOADED)
QUEUED: Place = (State.READY, Status.QUEUED)
PROCESSING: Place = (State.LEASED, Status.PROCESSING)

TOGETHER, ALONE, LARGE_ALONE = 0, 1, 2
"""The lanes of the queue: claimed with others; alone, because it ran when a lease expired; alone, because it is large."""

NAMED = "WHERE id IN (SELECT value FROM json_each(?))"
UNCLAIMED = "owner = NULL, claimed = NULL, due = NULL"

_FIND = (
    "SELECT id, state, status, token, tries, crashes, solo, size, due, owner, claimed, "
    "coalesce(checkpoint ->> 'revision', '') <> '' FROM run "
)


@dataclass(slots=True)
class Found:
    """A run as it stands now."""

    id: str
    state: State
    status: Status
    token: int
    tries: int
    crashes: int
    solo: int
    size: int  # bytes
    due: int | None  # µs
    owner: str | None
    claimed: int | None  # µs
    has_checkpoint: int  # that is not void

    @property
    def place(self) -> Place:
        """Where it stands."""
        return self.state, self.status

    @property
    def claim(self) -> dict[str, Any]:
        """Who holds it, as events tell it."""
        return {"owner": self.owner, "token": self.token, "claimed": row.seconds(self.claimed)}


def find(tx: apsw.Connection, where: str, *values: Any) -> dict[str, Found]:
    """The runs that `where` selects, by id."""
    return {r[0]: Found(*r) for r in rows(tx, _FIND + where, *values)}


def named(tx: apsw.Connection, ids: Sequence[str]) -> dict[str, Found]:
    """The runs of these ids that there are."""
    return find(tx, NAMED, many(ids))


def is_held(runs: Mapping[str, Found], lease: Lease) -> bool:
    """Whether nobody took the run over since it was claimed under this lease."""
    found = runs.get(lease.run)
    return found is not None and found.state == State.LEASED and found.token == lease.token


def lane(size: int) -> int:
    """The lane of a run that never crashed."""
    return LARGE_ALONE if size > LARGE else TOGETHER
