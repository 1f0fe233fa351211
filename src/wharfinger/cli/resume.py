"""`wharf resume`: lets paused pipelines go on."""

from __future__ import annotations

import click

from wharfinger.cli.actor import actor
from wharfinger.cli.frame import Verb
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import document, progress, say
from wharfinger.cli.words import many
from wharfinger.errors import UsageError
from wharfinger.ledger import Gate


@click.command(cls=Verb)
@click.argument("pipelines", metavar="PIPELINE...", nargs=-1, required=True)
@pass_session
def command(session: Session, pipelines: tuple[str, ...]) -> None:
    """Let files go on through paused pipelines.

    Those that waited are in line again, where they stood. Cut off halfway, the workers see to the rest.
    """
    gates = {gate.pipeline: gate for gate in session.database.gates.gates()}
    for name in pipelines:
        if name not in gates:
            raise UsageError(
                f"the pipeline {name!r} is not paused", code="NOT_FOUND", fix="wharf pause shows which are"
            )
    woken = _resume(session, [gates[name] for name in pipelines])
    if session.json:
        document({"resumed": [*pipelines], "woken": woken})
    say(f"{', '.join(pipelines)} resumed; {many(woken, 'file')} in line again: wharf status")


def _resume(session: Session, gates: list[Gate]) -> int:
    from wharfinger.engine.wake import wake

    for gate in gates:
        session.database.gates.resume(gate.pipeline, actor())
    woken = 0
    with session.hint() as hint, progress("Resuming", sum(gate.held for gate in gates)) as advance:
        for count in wake(session.database.gates, hint):
            woken += count
            advance(count)
    return woken
