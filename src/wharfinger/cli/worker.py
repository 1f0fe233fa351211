"""`wharf worker`: one worker process alone, as `wharf serve` keeps several."""

from __future__ import annotations

import click

from wharfinger.cli import log
from wharfinger.cli.frame import Verb
from wharfinger.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.option(
    "--express",
    is_flag=True,
    help="Leave large files to other workers and claim few at once, so that nobody waits long.",
)
@pass_session
def command(session: Session, express: bool) -> None:
    """Run one worker until it is stopped.

    SIGTERM lets it finish what it has begun; the rest it gives back.
    """
    from wharfinger import app

    with log.running(session.settings.log, "worker"):
        app.work(session.settings, express=express)
