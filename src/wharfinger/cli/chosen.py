"""The files that a command is about to change: found, counted and shown first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from wharfinger.cli import choose, public
from wharfinger.cli.select import Selection
from wharfinger.cli.session import Session
from wharfinger.cli.show import Column, say
from wharfinger.cli.words import many, size
from wharfinger.errors import UsageError
from wharfinger.model import FileRecord, State, Status

COLUMNS = (
    Column("file_id", "File"),
    Column("status", "Status"),
    Column("size", "Size", lambda row: size(row["size"]), right=True),
    Column("key", "Key", folds=True),
)


class Chosen(NamedTuple):
    """As much of a file as is kept of each, since there may be a million."""

    file_id: str
    at: float  # when it was uploaded; epoch s
    size: int  # bytes
    status: Status
    has_ended: bool
    is_purged: bool
    is_cancelled: bool

    @classmethod
    def of(cls, record: FileRecord) -> Chosen:
        """What is kept of this record."""
        return cls(
            record.file_id,
            record.upload_timestamp,
            record.size,
            record.status,
            record.has_ended,
            record.purged is not None,
            record.state is State.CANCELLED,
        )


def find(session: Session, ids: Sequence[str], selection: Selection, *, verb: str) -> list[Chosen]:
    """The files of these ids, or all that fit. Raises UsageError where neither or both are given."""
    if ids and not selection.is_everything:
        raise UsageError("either ids or a filter, not both", fix=f"wharf {verb} --help")
    if ids:
        return [Chosen.of(choose.file(session, file_id)) for file_id in dict.fromkeys(ids)]
    if selection.is_everything:
        raise UsageError("which files? none is named", fix=f"wharf {verb} ID..., or --dead, --unrouted, --error TEXT")
    if selection.partial:
        raise UsageError("a partial upload is no file yet", fix="its sender resumes it, or sends it again")
    return [Chosen.of(record) for record in selection.files(session.database.catalog)]


def take_out_purged(found: Sequence[Chosen], *, named: bool) -> list[Chosen]:
    """
    Those whose bytes are there; how many are left out is said. Raises UsageError (PURGED) where these very files were `named` and
    none is left.
    """
    there = [chosen for chosen in found if not chosen.is_purged]
    gone = len(found) - len(there)
    if gone and named and not there:
        said = (
            f"the bytes of {found[0].file_id} were purged"
            if gone == 1
            else f"the bytes of these {gone} files were purged"
        )
        fix = f"have its sender upload it again; what became of it: wharf file {found[0].file_id}"
        raise UsageError(said, code="PURGED", fix=fix)
    if gone:
        say(f"{many(gone, 'file')} left out: purged")
    return there


def preview(found: Sequence[Chosen]) -> str:
    """How many, how large, of which status."""
    if not found:
        return "no file fits"
    statuses = ", ".join(f"{count:,} {status}" for status, count in Counter(r.status for r in found).most_common())
    return f"{many(len(found), 'file')}, {size(sum(r.size for r in found))}: {statuses}"


def rows(session: Session, found: Sequence[Chosen]) -> Iterator[Mapping[str, Any]]:
    """Their public records."""
    records = (session.database.catalog.file(chosen.file_id) for chosen in found)
    return (public.file(record) for record in records if record)
