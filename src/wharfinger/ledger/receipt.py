"""
Receipts: what the server states of a file to whoever sent it. One when it has arrived, one when it has ended, which names the first.

Both follow from the file's history and are signed when somebody reads them; nothing is stored for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from wharfinger.ledger.signature import Statement, digest
from wharfinger.model import Delivered, Event, FileRecord, Status, instant

ARRIVAL, OUTCOME = "wharfinger.arrival/1", "wharfinger.outcome/1"

Kind = Literal["arrival", "outcome"]

HASH = "0" * 64
"""Stands for a hash where only the size of a statement is asked for."""

_ENDS = frozenset([*(str(status) for status in Status if status.is_final), "cancelled"])


@dataclass(frozen=True, slots=True)
class Receipts:
    """The two statements on a file; the second only while its end stands (a replay takes it back)."""

    arrival: Statement
    outcome: Statement | None


def receipts(record: FileRecord, events: Sequence[Event]) -> Receipts:
    """What can be stated of the file with this history."""
    first = arrival(record, events[0].hash)
    end = ended(events)
    return Receipts(first, _outcome_of(end, digest(first)) if end else None)


def arrival(record: FileRecord, event: str = HASH) -> Statement:
    """That the file is in custody, whole; `event` is the hash of the first event of its history."""
    return {
        "type": ARRIVAL,
        "file_id": record.file_id,
        "bucket": record.source_bucket,
        "key": record.key,
        "version": record.version,
        "size": record.size,
        "sha256": record.sha256,
        "media_type": record.media_type,
        "customer": record.customer_id,
        "user": record.user,
        "source": record.source,
        "received": instant(record.upload_timestamp),
        "event": event,
    }


def expected(record: FileRecord) -> Statement | None:
    """A statement as long as the outcome that `receipts` would give, from the record alone; None while there is none."""
    if not record.status.is_final:
        return None
    code, _, message = record.error_message.partition(": ")
    delivered = _deliveries(record.delivered, record.delivered_in_all)
    return _outcome(record.file_id, record.status, code, message, delivered, 0.0, HASH, HASH)


def ended(events: Sequence[Event]) -> Event | None:
    """The event with which the file came to its end, if it has not been replayed since."""
    for event in reversed(events):
        if event.kind == "replayed":
            return None
        if event.kind in _ENDS:
            return event
    return None


def _outcome_of(end: Event, arrival: str) -> Statement:
    error = end.data.get("error") or {}
    named = [Delivered(**item) for item in end.data.get("delivered", ())]
    delivered = _deliveries(named, end.data.get("delivered_in_all"))
    code, message = error.get("code", ""), error.get("message", "")
    return _outcome(end.file_id, _status(end), code, message, delivered, end.at, arrival, end.hash)


def _status(end: Event) -> Status:
    return Status.FAILED if end.kind == "cancelled" else Status(end.kind)


def _outcome(
    file_id: str,
    status: Status,
    code: str,
    message: str,
    delivered: Statement,
    at: float,
    arrival: str,
    event: str,
) -> Statement:
    """
    The sender is told why where the bytes are at fault, and what a file was transferred without: why files failed may tell of the
    server's places.
    """
    return {
        "type": OUTCOME,
        "file_id": file_id,
        "arrival": arrival,
        "status": str(status),
        "code": code,
        "reason": "" if status is Status.FAILED else message,
        **delivered,
        "ended": instant(at),
        "event": event,
    }


def _deliveries(named: Sequence[Delivered], in_all: int | None) -> Statement:
    """Those that the end of a file names, and how many there are, if it tells that: an earlier version did not."""
    counted = {} if in_all is None else {"delivered_in_all": in_all}
    return {"deliveries": [_delivery(each) for each in named], **counted}


def _delivery(delivered: Delivered) -> dict[str, Any]:
    """Without the bucket: it may be a directory of the server."""
    return {
        "destination": delivered.destination,
        "key": delivered.key,
        "version": delivered.version,
        "size": delivered.size,
        "sha256": delivered.sha256,
        "at": instant(delivered.at),
    }
