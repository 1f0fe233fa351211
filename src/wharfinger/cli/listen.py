"""`wharf listen`: the SFTP process alone, on a socket that `wharf serve` hands to it."""

from __future__ import annotations

import click

from wharfinger.cli import log
from wharfinger.cli.bound import listening, on_socket
from wharfinger.cli.frame import Verb
from wharfinger.cli.session import Session, pass_session
from wharfinger.errors import UsageError


@click.command(cls=Verb, hidden=True)
@on_socket
@pass_session
def command(session: Session, fd: int | None) -> None:
    """Receive files by SFTP until it is stopped."""
    from wharfinger import app

    place = session.settings.listeners.sftp
    if place is None:
        raise UsageError("the configuration wants no SFTP listener", fix="give it one: listeners: {sftp: {}}")
    with (
        log.running(session.settings.log, "sftp"),
        listening(fd, "listeners.sftp", place) as bound,
    ):
        app.listen(session.settings, bound)
