"""`wharf cancel`: lets nothing more happen to files."""

from __future__ import annotations

from collections.abc import Sequence

import click

from wharfinger.cli.actor import actor
from wharfinger.cli.ask import go_ahead
from wharfinger.cli.chosen import COLUMNS, Chosen, find, preview, rows
from wharfinger.cli.frame import Verb
from wharfinger.cli.problem import Exit
from wharfinger.cli.select import Selection, selecting
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import document, listing, progress, say
from wharfinger.cli.words import many
from wharfinger.ledger import MANY
from wharfinger.telemetry import crash


@click.command(cls=Verb)
@click.argument("ids", metavar="[ID...]", nargs=-1)
@selecting
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say which files would be cancelled.")
@pass_session
def command(session: Session, ids: tuple[str, ...], selection: Selection, yes: bool, dry_run: bool) -> int:
    """Let nothing more happen to files, unless they are replayed.

    Their bytes and records stay. Runs that they have called are cancelled with them. A worker that is at one learns it within
    a third of its lease; what it has delivered by then stays delivered. A dead letter is taken off the list of those that want
    somebody. Cut off halfway, the workers see to the runs that were called.
    """
    found = find(session, ids, selection, verb="cancel")
    say(preview(found))
    if dry_run and not session.json:
        listing(rows(session, found), COLUMNS, json=False)
        return Exit.OK
    if dry_run or not found:
        return _answer(session, found, [], [])
    if not go_ahead(f"Cancel {many(len(found), 'file')}?", yes=yes or bool(ids)):
        say("nothing was cancelled")
        return Exit.OK
    return _answer(session, found, *_cancel(session, found))


def _cancel(session: Session, found: Sequence[Chosen]) -> tuple[list[str], list[str], int]:
    """Cancel in groups; the answer is which are cancelled, which have ended already, and how many runs went with them."""
    from wharfinger.engine.cancel import cancel, cancel_families

    ledger = session.database.ledger
    cancelled: list[str] = []
    ended: list[str] = []
    children = 0
    with progress("Cancelling", len(found)) as advance:
        for start in range(0, len(found), MANY):
            group = [chosen.file_id for chosen in found[start : start + MANY]]
            for file_id, done in zip(group, cancel(session.store, ledger, group, actor())):
                (cancelled if done else ended).append(file_id)
            crash.point("cancel.begun")
            children += sum(cancel_families(ledger))
            session.wake(group)  # others of their groups may have their turn
            advance(len(group))
    return cancelled, ended, children


def _answer(
    session: Session, found: Sequence[Chosen], cancelled: Sequence[str], ended: Sequence[str], children: int = 0
) -> int:
    if session.json:
        matched = [chosen.file_id for chosen in found]
        document({"matched": matched, "cancelled": cancelled, "ended": ended, "children": children})
    if cancelled:
        called = f" with {many(children, 'child run')}" if children else ""
        say(f"{many(len(cancelled), 'file')} cancelled{called}; to run them after all: wharf replay ID")
    if ended:
        say(f"{many(len(ended), 'file')} left alone: done or cancelled already")
    return Exit.PARTLY if ended and cancelled else Exit.FAILED if ended else Exit.OK
