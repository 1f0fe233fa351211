"""`wharf demo`: a customer's files go by SFTP through pipelines to their destination, before your eyes."""

from __future__ import annotations

from pathlib import Path

import click

from wharfinger.cli.frame import Verb
from wharfinger.cli.problem import Exit
from wharfinger.cli.session import Session, pass_session


@click.command(cls=Verb)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("wharf-demo"),
    show_default=True,
    metavar="DIR",
    help="Where everything is set up; made anew.",
)
@click.option(
    "--size",
    "megabytes",
    type=click.IntRange(1, 100_000),
    default=200,
    show_default=True,
    metavar="MB",
    help="The size of the large file.",
)
@pass_session
def command(session: Session, directory: Path, megabytes: int) -> int:
    """Watch real files go by SFTP through pipelines to their destination."""
    from wharfinger.cli.demo.play import run

    return Exit.OK if run(directory.resolve(), megabytes=megabytes, as_json=session.json) else Exit.FAILED
