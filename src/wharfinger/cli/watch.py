"""`wharf watch`: the process that takes files from the sources, as `wharf serve` keeps it."""

from __future__ import annotations

import click

from wharfinger.cli import log
from wharfinger.cli.frame import Verb
from wharfinger.cli.session import Session, pass_session
from wharfinger.errors import UsageError


@click.command(cls=Verb, hidden=True)
@pass_session
def command(session: Session) -> None:
    """Take files from the sources until it is stopped."""
    from wharfinger import app

    if not session.settings.sources:
        raise UsageError(
            "the configuration has no sources", fix="name one: sources: {drop: {directory: ..., customer: ...}}"
        )
    with log.running(session.settings.log, "sources"):
        app.watch(session.settings)
