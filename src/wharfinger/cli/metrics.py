"""`wharf metrics`: the process that Prometheus asks, on a socket that `wharf serve` hands to it."""

from __future__ import annotations

import socket

import click

from wharfinger.cli import log
from wharfinger.cli.frame import Verb
from wharfinger.cli.session import Session, pass_session
from wharfinger.errors import UsageError


@click.command(cls=Verb, hidden=True)
@click.option(
    "--fd",
    type=int,
    metavar="N",
    help="The descriptor of a listening socket; without it, the address of the configuration.",
)
@pass_session
def command(session: Session, fd: int | None) -> None:
    """Answer Prometheus until it is stopped."""
    from wharfinger import app

    place = session.settings.metrics
    if place is None:
        raise UsageError("the configuration wants no metrics", fix="ask for them: metrics: {}")
    with (
        log.running(session.settings.log, "metrics"),
        socket.socket(fileno=fd) if fd is not None else app.bind("metrics", place) as bound,
    ):
        app.expose(session.settings, bound)
