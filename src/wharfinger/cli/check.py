"""`wharf check`: is the configuration valid, and what does it say?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from wharfinger.cli.frame import Verb
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, document, fields, heading, listing, say

if TYPE_CHECKING:
    from wharfinger.config.entry import Route
    from wharfinger.config.settings import BoundCall, BoundStep, Pipeline, Settings

PIPELINES = (
    Column("pipeline", "Pipeline"),
    Column("route", "Takes", folds=True),
    Column("steps", "Steps", lambda row: " > ".join(row["steps"]), folds=True),
    Column("tries", "Tries", right=True),
    Column("revision", "Revision", lambda row: row["revision"][:12]),
)


@click.command(cls=Verb)
@pass_session
def command(session: Session) -> None:
    """Check the configuration: every mistake, or a summary."""
    from wharfinger import app

    settings = session.settings
    app.check_urls(settings)
    app.check_sources(settings)
    if settings.listeners.http:
        app.check_installed()
    delivering = _delivering(settings)
    rows = [_pipeline(pipeline) | {"delivers": pipeline.name in delivering} for pipeline in settings.pipelines]
    if session.json:
        document({"ok": True, **dict(_summary(settings)), "pipelines": rows})
        return
    fields((name, str(value)) for name, value in _summary(settings))
    heading("Pipelines, in the order in which they are asked")
    listing(rows, PIPELINES, json=False, empty="none: every file stays where it is, unrouted")
    for row in rows:
        if not row["delivers"]:
            say(
                f"\npipeline '{row['pipeline']}' delivers nothing: no step of it, or of what it calls, names a destination"
            )
    say("\nthe configuration is valid")


def _delivering(settings: Settings) -> set[str]:
    """The pipelines that bring something to a destination, by steps of their own or by what they call."""
    found = {pipeline.name for pipeline in settings.pipelines if json.loads(pipeline.document)["destinations"]}
    calls = {pipeline.name: set(_called(pipeline)) for pipeline in settings.pipelines}
    while more := {name for name, called in calls.items() if name not in found and found & called}:
        found |= more
    return found


def _called(pipeline: Pipeline) -> Iterator[str]:
    from wharfinger.config.settings import BoundCall

    for step in pipeline.steps:
        if isinstance(step, BoundCall):
            yield from (branch.pipeline for branch in step.branches)


def _summary(settings: Settings) -> Iterator[tuple[str, Any]]:
    sftp = settings.listeners.sftp
    yield "config", str(settings.path)
    yield "data", str(settings.data)
    yield "ledger", _without_secret(settings.ledger)
    yield "store", _without_secret(settings.store)
    yield "sftp", f"{sftp.host}:{sftp.port}" if sftp else "none"
    yield "workers", settings.workers.count
    yield "customers", ", ".join(settings.customers) or "none"
    yield "destinations", ", ".join(settings.destinations) or "none"


def _without_secret(url: str) -> str:
    """None belongs there, and opening it refuses one; until then it is not shown."""
    return re.sub("//[^?&]*:[^?&]*@", "//***@", url)


def _pipeline(pipeline: Pipeline) -> dict[str, Any]:
    return {
        "pipeline": pipeline.name,
        "route": _route(pipeline.route) if pipeline.is_routed else "what other pipelines hand it",
        "steps": [_step(step) for step in pipeline.steps],
        "tries": pipeline.retry.tries,
        "revision": pipeline.revision,
    }


def _step(step: BoundStep | BoundCall) -> str:
    from wharfinger.config.settings import BoundStep

    if isinstance(step, BoundStep):
        return step.name if step.name == step.uses else f"{step.name} ({step.uses})"
    return f"{step.name} ({step.kind}: {', '.join(branch.pipeline for branch in step.branches)})"


def _route(route: Route) -> str:
    given = (("customer", route.customer), ("key", route.key), ("type", route.type))
    said = [f"{name} {' or '.join(globs)}" for name, globs in given if globs]
    return ", ".join(said + ([f"when {route.when}"] if route.when else [])) or "every file"
