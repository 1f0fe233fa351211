"""Why a file waits, with the child run that holds it up looked for."""

from __future__ import annotations

from wharfinger.cli.session import Session
from wharfinger.cli.why import Record, Why, why
from wharfinger.ledger import MANY, Catalog, Filter
from wharfinger.model import ChildRecord, FileRecord, State, Status

_WORST = (
    (State.READY, Status.PROCESSING),  # to be tried again
    (State.WAITING, Status.QUEUED),  # its pipeline is paused
    (State.DEAD, Status.FAILED),
    (State.DEAD, Status.QUARANTINED),
)
"""Where a child run may stand that a person wants to hear of, the first first."""


def reason(session: Session, record: Record, now: float) -> Why | None:
    """Why this file, or child run, is not finished; None for one that is."""
    worst = None
    if isinstance(record, FileRecord) and record.state is State.WAITING and record.waits:
        worst = _worst(session.database.catalog, record)
    return why(record, session.tries, now, worst)


def _worst(catalog: Catalog, record: FileRecord) -> ChildRecord | None:
    """The runs below a file come first after it, and have its time."""
    for state, status in _WORST:
        filter = Filter(status=status, since=record.upload_timestamp)
        below = catalog.unsettled(filter, state=state, limit=MANY, after=record.file_id)
        if found := [each for each in below if each.file_id == record.file_id]:
            return max(found, key=lambda each: each.attempts)
    return None
