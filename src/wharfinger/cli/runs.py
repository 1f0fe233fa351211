"""`wharf runs`: what is done for each file: its state, its steps with their times, its error."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from heapq import merge
from itertools import islice
from typing import Any

import click

from wharfinger.cli import choose, public
from wharfinger.cli.files import SHORT, Page, Row, one_more, remark
from wharfinger.cli.frame import Verb
from wharfinger.cli.reason import reason
from wharfinger.cli.select import Selection, identity, in_state, selecting
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, listing, say
from wharfinger.cli.why import Record
from wharfinger.cli.words import span
from wharfinger.errors import UsageError
from wharfinger.ledger import Catalog
from wharfinger.model import Event, FileRecord, State

STYLES = {"done": "green", "dead": "red", "leased": "cyan", "cancelled": "dim"}

KEPT = (
    "file_id",
    "run",
    "parent",
    "member",
    "key",
    "customer_id",
    "pipeline",
    "revision",
    "state",
    "status",
    "attempts",
    "owner",
    "waits",
    "until",
    "error_message",
)
"""Of a file's record and of a child run's, under the same names; of a file's own run the first two are the same."""

SHOWN = ("run", "state", "pipeline", "attempts", "key")
"""On a terminal as well, each in a column of its own."""


@click.command(cls=Verb)
@selecting
@click.option(
    "--state", type=click.Choice([*map(str, State)]), metavar="STATE", help=f"Only runs that are {', '.join(State)}."
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@click.option("--after", default="", metavar="ID", help="Go on after this run, the last of the page before.")
@pass_session
def command(
    session: Session, selection: Selection, state: str | None, limit: int, everything: bool, after: str
) -> None:
    """List runs, newest first: state, steps, errors.

    A file has a run of its own; below it, those that its pipelines have called (child runs) are listed while they are not
    transferred: `wharf file ID` has all. The steps are those of the last try that ended, each with its time and what came of
    it; what a run had behind it when it began to wait for child runs is told with them. --pipeline and --revision are those of
    the run itself.
    """
    if selection.partial:
        raise UsageError("a partial upload has no run yet", fix="wharf files --status partial")
    chosen = in_state(selection, State(state)) if state else selection
    most = None if everything else limit
    steps = Steps(session.database.catalog)
    page = Page(_found(session, chosen, most, after), most, lambda record: _row(session, record, steps))
    listing(page, _columns(time.time()), json=session.json, empty="no run fits")
    if page.more:
        say(f"there are more: add --after {page.more}, or --all")


def _found(session: Session, selection: Selection, limit: int | None, after: str) -> Iterator[Record]:
    """The file's own run before those below it; one more than `limit`, where there are so many."""
    catalog = session.database.catalog
    last = choose.run(session, after) if after else None
    own = replace(selection, filter=replace(selection.filter, is_own=True))
    files = own.files(catalog, limit=one_more(limit), after=last.file_id if last else "")
    if not any(n for state, n in catalog.counts().children.items() if state is not State.DONE):
        return files
    children = selection.child_runs(catalog, limit=one_more(limit), after=identity(last) if last else "")
    streams: tuple[Iterator[Record], ...] = files, children
    return islice(merge(*streams, key=_place, reverse=True), one_more(limit))


def _place(record: Record) -> tuple[float, str, bool, str]:
    return record.upload_timestamp, record.file_id, isinstance(record, FileRecord), identity(record)


def _row(session: Session, record: Record, steps: Steps) -> dict[str, Any]:
    known = public.run(record, reason(session, record, time.time()))
    found = steps.of(record)
    return {**{name: known[name] for name in KEPT}, "steps": found if session.json else _path(found)}


class Steps:
    """The steps of the last try of each run; keeps those of the file that was asked about last, for its child runs."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._file = ""
        self._by_run: Mapping[str, Sequence[Mapping[str, Any]]] = {}

    def of(self, record: Record) -> Sequence[Mapping[str, Any]]:
        """Since the file was last replayed."""
        if record.file_id != self._file:
            self._file, self._by_run = record.file_id, by_run(self._catalog.events(record.file_id))
        return self._by_run.get(identity(record), ())


def by_run(events: Iterable[Event]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """The steps of the last try by run, with those before the run began to wait for what it had called."""
    found: dict[str, Sequence[Mapping[str, Any]]] = {}
    behind: dict[str, tuple[str, Sequence[Mapping[str, Any]]]] = {}  # with the revision that counts them
    for event in events:
        if event.kind == "replayed":
            found, behind = {}, {}
        steps = event.data.get("steps")
        if not steps:
            continue
        run, revision = event.data.get("run", event.file_id), event.data.get("revision", "")
        before, earlier = behind.get(run, ("", ()))
        found[run] = [*(earlier if before == revision else ()), *steps]
        if event.kind.removeprefix("child.") == "waiting":
            behind[run] = revision, found[run]
    return found


def _columns(now: float) -> tuple[Column, ...]:
    return (
        Column("run", "Run", lambda row: row["run"] if row["parent"] else row["run"][:SHORT]),
        Column("state", "State", style=lambda row: STYLES.get(row["state"], "")),
        Column("pipeline", "Pipeline"),
        Column("attempts", "Tries", right=True),
        Column("key", "Key", lambda row: _told(row, now), folds=True),
        *(Column(name, piped=True) for name in ("steps", *(name for name in KEPT if name not in SHOWN))),
    )


def _told(row: Row, now: float) -> str:
    member = f"{row['key']}: {row['member']}" if row["member"] else row["key"]
    lines = (member, row["steps"], remark(row, now))
    return "\n  ".join(str(line) for line in lines if line)


def _path(steps: Sequence[Mapping[str, Any]]) -> str:
    """ "unpack 12 ms > deliver 3 ms: error"."""
    return " > ".join(
        f"{step['name']} {span(step['seconds'])}" + ("" if step["outcome"] == "ok" else f": {step['outcome']}")
        for step in steps
    )
