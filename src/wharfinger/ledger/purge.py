"""Bytes that are given up: which may be, what the history tells of it, and how a ledger that was lost knows of them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from wharfinger.ledger import row
from wharfinger.ledger.figure import Place
from wharfinger.ledger.history import Told
from wharfinger.ledger.run import TRANSFERRED, Found
from wharfinger.model import ENDED, Arrival, Purge, State, Status

RENAMED = "SELECT data FROM event WHERE file_id = f.file_id AND kind = 'renamed' ORDER BY n DESC LIMIT 1"
"""The last event that tells where in the customers' tree the file `f` is, if that is not where it arrived."""


def path(key: str, renamed: str | None) -> str:
    """Where a file that arrived under this key is in the tree, if it is there at all; `renamed` is what RENAMED found."""
    return str(orjson.loads(renamed)["to"]) if renamed else key


def has_ended(found: Found) -> bool:
    """Whether nothing of a file is under way that might need its bytes."""
    return found.state in ENDED and not found.waits and found.parent is None


def dismissed(found: Found) -> Place:
    """Where its run stands from now on: nobody can do anything for a dead letter without bytes."""
    return State.CANCELLED if found.state == State.DEAD else found.state, found.status


def gone(file_id: str, size: int, purge: Purge) -> Told:
    """That the bytes are gone."""
    rule = {"rule": purge.rule} if purge.rule else {}
    return Told(file_id, "purged", {"by": purge.by, "ordered": purge.at, "size": size, **rule})


@dataclass(frozen=True, slots=True)
class Past:
    """How a file had ended before the ledger was lost."""

    place: Place
    at: int  # µs
    transferred: int | None  # µs
    error: str
    told: Told

    @property
    def is_incomplete(self) -> bool:
        """Whether it is transferred, but for children that did not succeed."""
        return self.place == TRANSFERRED and self.error != ""


def past(arrival: Arrival) -> Past | None:
    """What the store's journal knows of its end; None where it is to run."""
    purge = arrival.purge
    if purge and purge.status != Status.TRANSFERRED:
        told = Told(arrival.file_id, purge.status, {"rebuilt": True, **_error(purge.error)})
        return Past((State.CANCELLED, purge.status), row.micros(purge.at), None, purge.error, told)
    if arrival.delivered is None and purge is None:
        return None
    delivered = arrival.delivered or ()
    at = row.micros(max((d.at for d in delivered), default=arrival.at))
    error = purge.error if purge else arrival.error
    facts = {"rebuilt": True, **row.from_delivered(delivered, arrival.unnamed), **_error(error)}
    return Past(TRANSFERRED, at, at, error, Told(arrival.file_id, "transferred", facts))


def _error(text: str) -> Mapping[str, Any]:
    code, _, message = text.partition(": ")
    return {"error": {"code": code, "message": message, "step": ""}} if text else {}
