"""`wharf pause`: lets no run of a pipeline begin, and shows which pipelines are paused."""

from __future__ import annotations

import time

import click

from wharfinger.cli.actor import actor
from wharfinger.cli.frame import Verb
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, document, listing, say
from wharfinger.cli.words import clock, epoch, number, stamp
from wharfinger.config.words import nearest
from wharfinger.errors import UsageError


@click.command(cls=Verb)
@click.argument("pipelines", metavar="[PIPELINE...]", nargs=-1)
@pass_session
def command(session: Session, pipelines: tuple[str, ...]) -> None:
    """Let no file begin its way through these pipelines.

    What a worker has in hand is finished. Files that the pipelines take wait, as do retries, and files that come back from
    child runs; they are counted, and go on at `wharf resume PIPELINE`. It holds for every worker, and outlives a restart.
    Without a name: which pipelines are paused.
    """
    if not pipelines:
        _list(session)
        return
    known = [pipeline.name for pipeline in session.settings.pipelines]
    for name in pipelines:
        if name not in known:
            raise UsageError(
                f"no pipeline {name!r}{nearest(name, known)}", code="NOT_FOUND", fix="wharf check lists them"
            )
    answers = {name: session.database.gates.pause(name, actor()) for name in pipelines}
    if session.json:
        document({"paused": [*pipelines], "before": [name for name, is_new in answers.items() if not is_new]})
    for name, is_new in answers.items():
        say(f"{name} is paused; go on with: wharf resume {name}" if is_new else f"{name} was paused already")


def _list(session: Session) -> None:
    now = time.time()
    rows = [
        {"pipeline": gate.pipeline, "since": stamp(gate.at), "by": gate.by, "held": gate.held}
        for gate in session.database.gates.gates()
    ]
    columns = (
        Column("pipeline", "Paused"),
        Column("since", "Since", lambda row: clock(epoch(row["since"]), now), right=True),
        Column("by", "By"),
        Column("held", "Runs that wait", lambda row: number(row["held"]), right=True),
    )
    listing(rows, columns, json=session.json, empty="no pipeline is paused")
