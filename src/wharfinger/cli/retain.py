"""`wharf retain`: the process that removes the bytes of files whose time is over, as `wharf serve` keeps it."""

from __future__ import annotations

import click

from wharfinger.cli import log
from wharfinger.cli.frame import Verb
from wharfinger.cli.session import Session, pass_session
from wharfinger.errors import UsageError


@click.command(cls=Verb, hidden=True)
@pass_session
def command(session: Session) -> None:
    """Remove the bytes of files whose time is over, by the rules of the configuration, until it is stopped."""
    from wharfinger import app

    if not session.settings.retention:
        raise UsageError(
            "the configuration keeps everything for ever", fix="name a rule: retention: {all: {transferred_days: 90}}"
        )
    with log.running(session.settings.log, "retention"):
        app.retain(session.settings)
