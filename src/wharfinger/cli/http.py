"""`wharf http`: the HTTP process alone, on a socket that `wharf serve` hands to it."""

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
    """Receive files by HTTP until it is stopped."""
    from wharfinger import app

    place = session.settings.listeners.http
    if place is None:
        raise UsageError("the configuration wants no HTTP listener", fix="give it one: listeners: {http: {}}")
    with (
        log.running(session.settings.log, "http"),
        listening(fd, "listeners.http", place) as bound,
    ):
        app.receive(session.settings, bound)
