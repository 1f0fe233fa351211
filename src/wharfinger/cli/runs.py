"""`wharf runs`: what is done for each file: its state, its steps with their times, its error."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from wharfinger.cli import choose
from wharfinger.cli.files import SHORT, Page, Row, remark
from wharfinger.cli.frame import Verb
from wharfinger.cli.select import Selection, in_state, selecting
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, listing, say
from wharfinger.cli.words import span
from wharfinger.errors import UsageError
from wharfinger.model import Event, State

STYLES = {"done": "green", "dead": "red", "leased": "cyan", "cancelled": "dim"}

KEPT = (
    "file_id",
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
"""Of a file's record, under the same names."""

SHOWN = ("file_id", "state", "pipeline", "attempts", "key")
"""On a terminal as well, each in a column of its own."""


@click.command(cls=Verb)
@selecting
@click.option(
    "--state", type=click.Choice([*map(str, State)]), metavar="STATE", help=f"Only runs that are {', '.join(State)}."
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@click.option("--after", default="", metavar="ID", help="Go on after this file, the last of the page before.")
@pass_session
def command(
    session: Session, selection: Selection, state: str | None, limit: int, everything: bool, after: str
) -> None:
    """List runs, newest first: state, steps, errors.

    The steps are those of the last try that ended, each with its time and what came of it.
    """
    if selection.partial:
        raise UsageError("a partial upload has no run yet", fix="wharf files --status partial")
    chosen = in_state(selection, State(state)) if state else selection
    page = Page(session, chosen, None if everything else limit, choose.file(session, after).file_id if after else "")
    listing(_rows(session, page), _columns(time.time()), json=session.json, empty="no run fits")
    if page.more:
        say(f"there are more: add --after {page.more}, or --all")


def _rows(session: Session, page: Page) -> Iterator[dict[str, Any]]:
    for row in page:
        steps = _steps(session.database.catalog.events(row["file_id"]))
        yield {**{name: row[name] for name in KEPT}, "steps": steps if session.json else _path(steps)}


def _steps(events: Sequence[Event]) -> list[Mapping[str, Any]]:
    """Those of the last try since the file was last replayed."""
    for event in reversed(events):
        if event.kind == "replayed":
            break
        if event.data.get("steps"):
            return [*event.data["steps"]]
    return []


def _columns(now: float) -> tuple[Column, ...]:
    return (
        Column("file_id", "File", lambda row: row["file_id"][:SHORT]),
        Column("state", "State", style=lambda row: STYLES.get(row["state"], "")),
        Column("pipeline", "Pipeline"),
        Column("attempts", "Tries", right=True),
        Column("key", "Key", lambda row: _told(row, now), folds=True),
        *(Column(name, piped=True) for name in ("steps", *(name for name in KEPT if name not in SHOWN))),
    )


def _told(row: Row, now: float) -> str:
    lines = (row["key"], row["steps"], remark(row, now))
    return "\n  ".join(str(line) for line in lines if line)


def _path(steps: Sequence[Mapping[str, Any]]) -> str:
    """ "unpack 12 ms > deliver 3 ms: error"."""
    return " > ".join(
        f"{step['name']} {span(step['seconds'])}" + ("" if step["outcome"] == "ok" else f": {step['outcome']}")
        for step in steps
    )
