"""`wharf files`: the list of files, newest first, with the reason of each that waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any, Generic

import click

from wharfinger.cli import choose, public
from wharfinger.cli.frame import Verb
from wharfinger.cli.reason import reason
from wharfinger.cli.select import R, Selection, identity, selecting
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, listing, say
from wharfinger.cli.words import clock, epoch, size
from wharfinger.model import FileRecord

SHORT = 16
"""Characters of a file's id that a table shows: enough to name it, since a beginning of 12 will do."""

STYLES = {"transferred": "green", "failed": "red", "quarantined": "red", "processing": "cyan", "partial": "dim"}

Row = Mapping[str, Any]


@click.command(cls=Verb)
@selecting
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many.")
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@click.option("--after", default="", metavar="ID", help="Go on after this file, the last of the page before.")
@pass_session
def command(session: Session, selection: Selection, limit: int, everything: bool, after: str) -> None:
    """List files, newest first."""
    most = None if everything else limit
    start = choose.file(session, after).file_id if after else ""
    found = selection.files(session.database.catalog, limit=one_more(most), after=start)
    page = Page(found, most, lambda record: row(session, record))
    listing(_rows(session, selection, page), columns(time.time()), json=session.json, empty=_empty(selection))
    if page.more:
        say(f"there are more: add --after {page.more}, or --all")


def one_more(limit: int | None) -> int | None:
    """How many are to be looked for, so that a Page can tell whether there are more than its `limit`."""
    return None if limit is None else limit + 1


class Page(Generic[R]):
    """Some rows of a list; when they have been read, `more` is the id after which the next page starts."""

    def __init__(self, found: Iterable[R], limit: int | None, row: Callable[[R], Row]) -> None:
        self._found, self._limit, self._row = found, limit, row
        self.more = ""

    def __iter__(self) -> Iterator[Row]:
        last = ""
        for n, record in enumerate(self._found):
            if n == self._limit:
                self.more = last
                return
            last = identity(record)
            yield self._row(record)


def row(session: Session, record: FileRecord) -> dict[str, Any]:
    """The public record of a file, with why it waits."""
    return public.file(record, reason(session, record, time.time()))


def columns(now: float) -> tuple[Column, ...]:
    """The columns of a list of files."""
    return (
        Column("file_id", "File", lambda row: (row["file_id"] or "-")[:SHORT]),
        Column("status", "Status", style=lambda row: STYLES.get(row["status"], "")),
        Column("size", "Size", lambda row: size(row["size"]), right=True),
        Column("upload_timestamp", "Uploaded", lambda row: clock(epoch(row["upload_timestamp"]), now), right=True),
        Column("key", "Key", lambda row: _remarked(row, now), folds=True),
        Column("customer_id", piped=True),
        Column("pipeline", piped=True),
        Column("attempts", piped=True),
        Column("error_message", piped=True),
        Column("waits", piped=True),
        Column("until", piped=True),
    )


def remark(row: Row, now: float) -> str:
    """What there is to say of a file beside its status: its error, or what it waits for and until when."""
    until = f" {clock(epoch(row['until']), now)}" if row["until"] else ""
    waits = row["waits"] + until if row["status"] not in ("failed", "quarantined") else ""
    return "; ".join(said for said in (row["error_message"], waits) if said)


def _remarked(row: Row, now: float) -> str:
    said = remark(row, now)
    return f"{row['key']}\n  {said}" if said else str(row["key"])


def _rows(session: Session, selection: Selection, page: Page[FileRecord]) -> Iterable[Row]:
    if selection.partial:
        return _partials(session, selection)
    return chain(_partials(session, selection), page) if selection.means_partials else page


def _partials(session: Session, selection: Selection) -> Iterator[Row]:
    wanted = selection.filter
    since, until = wanted.since or 0.0, wanted.until or time.time()
    for entry in session.database.namespace.partials(before=time.time()):
        row = public.partial(entry)
        is_theirs = wanted.customer in ("", row["customer_id"]) and since <= entry.mtime < until
        if is_theirs and fnmatchcase(entry.path, wanted.name or "*"):
            yield row


def _empty(selection: Selection) -> str:
    if selection.is_everything:
        return "no files yet; send one by SFTP while wharf serve runs, or: wharf put FILE"
    return "no file fits"
