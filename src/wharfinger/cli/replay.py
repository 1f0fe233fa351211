"""`wharf replay`: runs files again from the start: those named, or all that a filter finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click

from wharfinger.cli import choose, public
from wharfinger.cli.ask import go_ahead
from wharfinger.cli.frame import Verb
from wharfinger.cli.problem import Exit
from wharfinger.cli.select import Selection, selecting
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, document, listing, progress, say
from wharfinger.cli.words import many, size
from wharfinger.errors import UsageError
from wharfinger.ledger import MANY
from wharfinger.model import FileRecord, Status

COLUMNS = (
    Column("file_id", "File"),
    Column("status", "Status"),
    Column("size", "Size", lambda row: size(row["size"]), right=True),
    Column("key", "Key", folds=True),
)


class Chosen(NamedTuple):
    """As much of a file as is kept of each, since there may be a million."""

    file_id: str
    size: int  # bytes
    status: Status

    @classmethod
    def of(cls, record: FileRecord) -> Chosen:
        """What is kept of this record."""
        return cls(record.file_id, record.size, record.status)


@click.command(cls=Verb)
@click.argument("ids", metavar="[ID...]", nargs=-1)
@selecting
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say which files would run again.")
@pass_session
def command(session: Session, ids: tuple[str, ...], selection: Selection, yes: bool, dry_run: bool) -> int:
    """Run files again from the start.

    They go through the pipelines as these are now. What a destination holds already, byte for byte, is left untouched.
    """
    found = _found(session, ids, selection)
    say(_preview(found))
    if dry_run and not session.json:
        listing(_rows(session, found), COLUMNS, json=False)
        return Exit.OK
    if dry_run or not found:
        return _answer(session, found, [], [])
    if not go_ahead(f"Run {many(len(found), 'file')} again?", yes=yes or bool(ids)):
        say("nothing was replayed")
        return Exit.OK
    again, busy = _replay(session, found)
    return _answer(session, found, again, busy)


def _found(session: Session, ids: Sequence[str], selection: Selection) -> list[Chosen]:
    if ids and not selection.is_everything:
        raise UsageError("either ids or a filter, not both", fix="wharf replay --help")
    if ids:
        return [Chosen.of(choose.file(session, file_id)) for file_id in dict.fromkeys(ids)]
    if selection.is_everything:
        raise UsageError("which files? none is named", fix="wharf replay ID..., or --dead, --unrouted, --error TEXT")
    if selection.partial:
        raise UsageError("a partial upload is no file yet", fix="its sender resumes it, or sends it again")
    return [Chosen.of(record) for record in selection.files(session.database.catalog)]


def _preview(found: Sequence[Chosen]) -> str:
    if not found:
        return "no file fits"
    statuses = ", ".join(f"{count:,} {status}" for status, count in Counter(r.status for r in found).most_common())
    return f"{many(len(found), 'file')}, {size(sum(r.size for r in found))}: {statuses}"


def _rows(session: Session, found: Sequence[Chosen]) -> Iterator[Mapping[str, Any]]:
    records = (session.database.catalog.file(chosen.file_id) for chosen in found)
    return (public.file(record) for record in records if record)


def _replay(session: Session, found: Sequence[Chosen]) -> tuple[list[str], list[str]]:
    """Replay in groups; the answer is which run again, and which a worker holds just now."""
    again: list[str] = []
    busy: list[str] = []
    with progress("Replaying", len(found)) as advance:
        for start in range(0, len(found), MANY):
            group = [record.file_id for record in found[start : start + MANY]]
            for file_id, done in zip(group, session.database.ledger.replay(group)):
                (again if done else busy).append(file_id)
            session.wake(group)
            advance(len(group))
    return again, busy


def _answer(session: Session, found: Sequence[Chosen], again: Sequence[str], busy: Sequence[str]) -> int:
    if session.json:
        document({"matched": [record.file_id for record in found], "replayed": again, "busy": busy})
    if again:
        say(f"{many(len(again), 'file')} in line again; what becomes of them: wharf status")
    if busy:
        say(f"{many(len(busy), 'file')} left as they are: a worker holds them just now; try again in a moment")
    return Exit.PARTLY if busy and again else Exit.FAILED if busy else Exit.OK
