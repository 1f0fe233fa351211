"""`wharf metrics`: the process that Prometheus asks, on a socket that `wharf serve` hands to it."""

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
    """Answer Prometheus until it is stopped."""
    from wharfinger import app

    place = session.settings.metrics
    if place is None:
        raise UsageError("the configuration wants no metrics", fix="ask for them: metrics: {}")
    with (
        log.running(session.settings.log, "metrics"),
        listening(fd, "metrics", place) as bound,
    ):
        app.expose(session.settings, bound)
