"""`wharf listen`: the SFTP process alone, on a socket that `wharf serve` hands to it."""

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
    """Receive files by SFTP until it is stopped."""
    from wharfinger import app

    place = session.settings.listeners.sftp
    if place is None:
        raise UsageError("the configuration wants no SFTP listener", fix="give it one: listeners: {sftp: {}}")
    with (
        log.running(session.settings.log, "sftp"),
        socket.socket(fileno=fd) if fd is not None else app.bind("listeners.sftp", place) as bound,
    ):
        app.listen(session.settings, bound)
