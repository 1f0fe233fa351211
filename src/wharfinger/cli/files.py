"""`wharf files`: the list of files, newest first, with the reason of each that waits."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

import click

from wharfinger.cli import choose, public
from wharfinger.cli.frame import Verb
from wharfinger.cli.select import Selection, selecting
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, listing, say
from wharfinger.cli.why import why
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
    page = Page(session, selection, None if everything else limit, choose.file(session, after).file_id if after else "")
    listing(_rows(session, selection, page), columns(time.time()), json=session.json, empty=_empty(selection))
    if page.more:
        say(f"there are more: add --after {page.more}, or --all")


class Page:
    """Some rows of a list; when they have been read, `more` is the file after which the next page starts."""

    def __init__(self, session: Session, selection: Selection, limit: int | None, after: str) -> None:
        self._session, self._selection, self._limit, self._after = session, selection, limit, after
        self.more = ""

    def __iter__(self) -> Iterator[Row]:
        one_more = None if self._limit is None else self._limit + 1
        found = self._selection.files(self._session.database.catalog, limit=one_more, after=self._after)
        last = ""
        for n, record in enumerate(found):
            if n == self._limit:
                self.more = last
                return
            last = record.file_id
            yield row(self._session, record)


def row(session: Session, record: FileRecord) -> dict[str, Any]:
    """The public record of a file, with why it waits."""
    return public.file(record, why(record, session.tries, time.time()))


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


def _rows(session: Session, selection: Selection, page: Page) -> Iterable[Row]:
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
