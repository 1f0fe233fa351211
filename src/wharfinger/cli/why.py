"""Why a file waits, until when, and what its owner can do. Pure: a record and the time in, words out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wharfinger.cli.words import many
from wharfinger.model import ChildRecord, FileRecord, State, Status


@dataclass(frozen=True, slots=True)
class Why:
    """The reason in words; `until` (epoch s) where a time is known; `next` is what helps, a command if there is one."""

    text: str
    until: float | None = None
    next: str = ""


Record = FileRecord | ChildRecord


def why(record: Record, tries: Mapping[str, int], now: float, worst: ChildRecord | None = None) -> Why | None:
    """
    Why this file, or child run, is not finished; None for one that is. `tries` is how often each pipeline, by name, tries; `worst` is
    the child run that holds it up.
    """
    if isinstance(record, FileRecord) and record.purged is not None:
        return None
    match record.state:
        case State.LEASED:
            return Why(f"{record.owner or 'a worker'} is at it; should it die, another takes over at", record.due)
        case State.WAITING if record.waits:
            return _parent(record, tries, now, worst)
        case State.WAITING:
            return _aside(record)
        case State.BEHIND if isinstance(record, FileRecord):
            said = f"its turn in the group {record.group}: {record.behind} is before it"
            return Why(said, next=f"wharf file {record.behind}")
        case State.READY:
            return _ready(record, tries, now)
        case State.DEAD:
            return _dead(record)
        case State.CANCELLED:
            return Why("cancelled: nothing more happens until it is replayed", next=f"wharf replay {record.file_id}")
        case _:
            return None


def _parent(record: Record, tries: Mapping[str, int], now: float, worst: ChildRecord | None) -> Why:
    said = f"{many(record.waits, 'child run')} to end"
    cause = worst and why(worst, tries, now)
    if not worst or not cause:
        return Why(said, next=f"wharf file {record.file_id}")
    who = worst.pipeline + (f" of {worst.member}" if worst.member else "")
    error = f"{worst.error_message}; " if worst.error_message else ""
    return Why(f"{said}; {who}: {error}{cause.text}", cause.until, cause.next or f"wharf file {record.file_id}")


def _aside(record: Record) -> Why:
    if record.status is Status.QUEUED:
        return Why(f"the pipeline {record.pipeline} is paused", next=f"wharf resume {record.pipeline}")
    return Why("no pipeline takes it", next=f"wharf route explain {record.file_id}")


def _dead(record: Record) -> Why:
    if record.error_message.startswith("NAME_REPEATED"):
        said = "dead letter: two that were made of it go by one name; a pipeline that tells them apart helps"
        return Why(said, next=f"mend the pipeline's key, then wharf replay {record.file_id}")
    if record.status is Status.QUARANTINED:
        said = "dead letter: its bytes are at fault; only another pipeline, or another file, helps"
        return Why(said, next="tell its sender the error; what they send anew is a new version")
    return Why("dead letter: nothing more happens until it is replayed", next=f"wharf replay {record.file_id}")


def _ready(record: Record, tries: Mapping[str, int], now: float) -> Why:
    if record.due is not None and record.due > now and not record.error_message:
        return Why("a worker may still be at a file of its group that was cancelled; it begins at", record.due)
    if record.due is not None and record.due > now:
        most = tries.get(record.pipeline)
        of = f" of {most}" if most else ""
        return Why(f"failed before; try {record.attempts + 1}{of} comes at", record.due)
    if record.error_message:
        return Why("failed before; in line for the next try", next="wharf status")
    return Why("in line for a free worker", next="wharf status")
