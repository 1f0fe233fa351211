"""`wharf ledger`: the ledger itself. `rebuild` makes it anew from the store's journal."""

from __future__ import annotations

import click

from wharfinger.cli.ask import go_ahead
from wharfinger.cli.frame import Verbs
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import document, progress, say
from wharfinger.cli.words import many, number
from wharfinger.config.order import grouping
from wharfinger.errors import UsageError
from wharfinger.ingest.rebuild import Rebuilt
from wharfinger.ingest.rebuild import rebuild as rebuild_from
from wharfinger.ledger import User


@click.group(cls=Verbs)
def command() -> None:
    """The record of all files; it can be made anew from the store."""


@command.command()
@click.option("--missing", is_flag=True, help="Keep a ledger that has files, and record those that it lacks.")
@click.option("--force", is_flag=True, help="Move a ledger that has files aside; its users are kept.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def rebuild(session: Session, missing: bool, force: bool, yes: bool) -> None:
    """
    Make a lost ledger anew from the store's journal.

    Every file in custody gets its record back under the same id. What was delivered is known as transferred, what was cancelled
    as cancelled; every other file runs again, and what its destination holds already is not written a second time. First stop
    `wharf serve`.

    A ledger that has files is refused, but for --missing, which leaves their records as they are, and for --force, which loses what
    the store does not know: histories, renames, which files failed.
    """
    if missing and force:
        raise UsageError("either --missing or --force, not both", fix="wharf ledger rebuild --help")
    users = session.database.accounts.users() if missing else _cleared(session, force=force, yes=yes)
    total = sum(1 for _ in session.store.list(session.place.bucket))
    with progress("Rebuilding", total) as advance:
        database, bucket, group = session.database, session.place.bucket, grouping(session.settings.order)
        found = rebuild_from(session.store, database, bucket, group=group, seen=lambda some: advance(_objects(some)))
    _tell(session, found, users)


def _cleared(session: Session, *, force: bool, yes: bool) -> list[User]:
    """Make way for a new ledger, which has the users of the old one from its beginning; they are the answer."""
    files = sum(session.database.catalog.counts().files.values())
    users = session.database.accounts.users()
    if not files:
        return users
    if not force:
        fix = "add --missing to record what it lacks, or --force to move it aside (it is kept), once wharf serve is stopped"
        raise UsageError(f"there is a ledger, with {many(files, 'file')}", code="LEDGER_EXISTS", fix=fix)
    if not go_ahead(f"Move the ledger with {many(files, 'file')} aside and make a new one?", yes=yes, can_look=False):
        raise click.Abort
    say(f"the old ledger is kept as {session.move_ledger_aside()}")
    session.database.accounts.keep(users)
    return users


def _objects(found: Rebuilt) -> int:
    return found.arrivals + found.known + found.others


def _tell(session: Session, found: Rebuilt, users: list[User]) -> None:
    if session.json:
        document(
            {
                "arrivals": found.arrivals,
                "delivered": found.delivered,
                "cancelled": found.cancelled,
                "known": found.known,
                "others": found.others,
                "purged": found.purged,
                "stay": found.stay,
                "unread": found.unread,
                "users": len(users),
            }
        )
    again = found.arrivals - found.delivered - found.cancelled
    cancelled = f"{number(found.cancelled)} as cancelled, " if found.cancelled else ""
    say(
        f"{many(found.arrivals, 'file')} recorded: {number(found.delivered)} as transferred, {cancelled}{number(again)} run again"
    )
    if found.purged:
        say(f"{many(found.purged, 'file')} recorded whose bytes were purged before")
    if found.stay:
        stay = many(found.stay, "purged file")
        say(f"of {stay} the store refuses to remove the bytes; once it lets them go: wharf ledger rebuild --missing")
    if found.unread:
        unread = many(found.unread, "note")
        say(f"{unread} passed over: damaged, or of a newer version; a file of which no other note tells runs again")
    if not users:
        say("users are not in the store; add them again: wharf users add, or wharf users apply FILE")
    say("next: wharf serve")
