"""`wharf replay`: runs files again from the start: those named, or all that a filter finds."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

import click

from wharfinger.cli.actor import actor
from wharfinger.cli.ask import go_ahead
from wharfinger.cli.chosen import COLUMNS, Chosen, find, preview, rows, take_out_purged
from wharfinger.cli.frame import Verb
from wharfinger.cli.problem import Exit
from wharfinger.cli.select import Selection, selecting
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import document, listing, progress, say
from wharfinger.cli.words import many, span
from wharfinger.ledger import MANY
from wharfinger.model import State

_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/(s|min|h))?")
_SECONDS = {"s": 1, "min": 60, "h": 3600}


def rate(text: str) -> float:
    """Files a second: "50", "50/s", "600/min"."""
    found = _RATE.fullmatch(text.strip())
    if not found or not float(found[1]):
        raise click.BadParameter(f"{text!r} is no rate; write 50/s, 600/min or 1000/h")
    return float(found[1]) / _SECONDS[found[2] or "s"]


@click.command(cls=Verb)
@click.argument("ids", metavar="[ID...]", nargs=-1)
@selecting
@click.option("--rate", type=rate, metavar="N/s", help="No more than so many: 50/s, 600/min.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say which files would run again.")
@pass_session
def command(
    session: Session, ids: tuple[str, ...], selection: Selection, rate: float | None, yes: bool, dry_run: bool
) -> int:
    """Run files again from the start.

    They go through the pipelines as these are now. What a destination holds already, byte for byte, is left untouched. How
    many there are is said first; with --rate they enter the line no faster than that, and Ctrl-C leaves the rest as it is.
    """
    found = take_out_purged(find(session, ids, selection, verb="replay"), named=bool(ids))
    say(preview(found) + (f"; at this rate that takes {span(len(found) / rate)}" if rate and found else ""))
    if dry_run and not session.json:
        listing(rows(session, found), COLUMNS, json=False)
        return Exit.OK
    if dry_run or not found:
        return _answer(session, found, [], [])
    if not go_ahead(f"Run {many(len(found), 'file')} again?", yes=yes or bool(ids)):
        say("nothing was replayed")
        return Exit.OK
    again: list[str] = []
    busy: list[str] = []
    try:
        run_again(session, found, again, busy, rate=rate)
    except KeyboardInterrupt:
        say(f"{many(len(found) - len(again) - len(busy), 'file')} left as they were")
        _answer(session, found, again, busy)
        return Exit.INTERRUPTED
    return _answer(session, found, again, busy)


def run_again(
    session: Session, found: Sequence[Chosen], again: list[str], busy: list[str], *, rate: float | None = None
) -> None:
    """
    Replay in groups, oldest first, no faster than `rate` (files/s). As it goes, `again` takes in which of them run again, and `busy`
    which do not because a worker holds them just now.
    """
    from wharfinger.engine import cancel

    cancelled = {chosen.file_id for chosen in found if chosen.is_cancelled}
    database = session.database
    with progress("Replaying", len(found)) as advance:
        oldest_first = sorted(found, key=lambda chosen: (chosen.at, chosen.file_id))
        for group in _paced([chosen.file_id for chosen in oldest_first], rate):
            for file_id, done in zip(
                group, cancel.replay(session.store, database, group, actor(), cancelled=cancelled)
            ):
                (again if done else busy).append(file_id)
            session.wake(group)
            advance(len(group))


def _paced(files: Sequence[str], rate: float | None) -> Iterator[Sequence[str]]:
    """Groups of files, each when its time has come: a tenth of a second's worth, or one."""
    size = MANY if rate is None else min(MANY, max(1, int(rate / 10)))
    began = time.monotonic()
    for start in range(0, len(files), size):
        if rate is not None:
            time.sleep(max(0.0, began + start / rate - time.monotonic()))
        yield files[start : start + size]


def left_alone(session: Session, busy: Sequence[str]) -> str:
    """How many could not be replayed, and why."""
    return f"{many(len(busy), 'file')} left alone: {_why_busy(session, busy)}"


def _why_busy(session: Session, busy: Sequence[str]) -> str:
    """Told of the first that says more than that a worker has it."""
    records = (session.database.catalog.file(file_id) for file_id in busy[:MANY])
    parent = next((record for record in records if record and record.waits), None)
    if not parent:
        return "a worker holds them just now; try again in a moment"
    waits = many(parent.waits, "child run")
    if parent.state is State.CANCELLED:
        return f"{waits} of {parent.file_id} are being cancelled; try again in a moment"
    return f"{parent.file_id} waits for {waits}; let them end, or first: wharf cancel {parent.file_id}"


def _answer(session: Session, found: Sequence[Chosen], again: Sequence[str], busy: Sequence[str]) -> int:
    if session.json:
        document({"matched": [chosen.file_id for chosen in found], "replayed": again, "busy": busy})
    if again:
        say(f"{many(len(again), 'file')} in line again; what becomes of them: wharf status")
    if busy:
        say(left_alone(session, busy))
    return Exit.PARTLY if busy and again else Exit.FAILED if busy else Exit.OK
