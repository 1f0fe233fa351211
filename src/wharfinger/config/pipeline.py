"""Checks the pipelines of a configuration, all that they refer to included, and resolves them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from wharfinger.config import call, canonical, condition
from wharfinger.config.check import Check
from wharfinger.config.condition import Condition
from wharfinger.config.entry import PipelineEntry, Route, StepEntry
from wharfinger.config.known import Bound, Known, StepKind, add, check_names, compiled, texts
from wharfinger.config.node import Node, Trail
from wharfinger.config.settings import BoundCall, BoundStep, Destination, Pipeline
from wharfinger.config.words import nearest, shown
from wharfinger.errors import ConfigError


def bind(name: str, known: Known, check: Check) -> tuple[Bound, ...]:
    """The steps of the pipeline `name`, ready to run. What is wrong is noted in `check`, and left out here."""
    trail = ("pipelines", name)
    check_names((*trail, "route", "customer"), "customer", known.customers, check)
    compiled((*trail, "route", "when"), {}, check, of_route=True)
    bound: list[Bound] = []
    earlier: dict[str, Collection[str]] = {}
    lines = check.root.find((*trail, "steps"))
    for n, line in enumerate(lines.value if lines and isinstance(lines.value, list) else []):
        if isinstance(line.value, (str, dict)):
            bound += _bind((*trail, "steps", n), name, known, earlier, check)
    return tuple(bound)


EVERY = Route()


def resolve(
    name: str,
    entry: PipelineEntry,
    steps: tuple[Bound, ...],
    destinations: Mapping[str, Destination],
    revisions: Mapping[str, str],
    *,
    is_called: bool,
) -> Pipeline:
    """
    The pipeline, when nothing is wrong with it; `destinations` are those that its steps deliver to, `revisions` has those of the
    pipelines that it calls, and `is_called` says whether others call it.
    """
    route = entry.route or EVERY
    document = canonical.text(
        {
            "name": name,
            "route": route,
            "retry": entry.retry,
            "steps": [_described(step, revisions) for step in steps],
            "destinations": {to: _place(destination) for to, destination in destinations.items()},
        }
    )
    return Pipeline(
        name=name,
        route=route,
        accepts=condition.compile(route.when) if route.when else condition.ALWAYS,
        steps=steps,
        retry=entry.retry,
        revision=hashlib.sha256(document.encode()).hexdigest(),
        document=document,
        is_routed=entry.route is not None or not is_called,
    )


def _place(destination: Destination) -> Mapping[str, Any]:
    """What of a destination decides what a pipeline does."""
    return {"bucket": destination.bucket, "directory": destination.directory, "prefix": destination.prefix}


def _described(step: Bound, revisions: Mapping[str, str]) -> Mapping[str, Any]:
    if isinstance(step, BoundCall):
        return {
            "name": step.name,
            "calls": step.kind,
            "branches": [
                {"pipeline": each.pipeline, "revision": revisions[each.pipeline], "when": _text_of(each.when)}
                for each in step.branches
            ],
            "when": _text_of(step.when),
            "on_child_failure": step.on_child_failure,
            "members": step.members,
        }
    return {
        "name": step.name,
        "uses": f"{step.uses}@{step.version}",
        "with": step.options,
        "when": _text_of(step.when),
        "checkpoint": step.checkpoint,
    }


def _text_of(when: Callable[[Mapping[str, Any]], bool] | None) -> str:
    return when.text if isinstance(when, Condition) else ""


def _bind(
    trail: Trail, pipeline: str, known: Known, earlier: dict[str, Collection[str]], check: Check
) -> Sequence[Bound]:
    """The one step there, if nothing is wrong with it; `earlier` holds the steps before it, and gets its name and facts."""
    node = check.root.nearest(trail)
    entry = StepEntry(node.value) if isinstance(node.value, str) and node.value else check.take(StepEntry, trail)
    if entry and not entry.uses:
        return call.bind(trail, pipeline, entry, known, earlier, check)
    uses = entry.uses if entry else _text(node, "uses")
    name = (entry.name if entry else _text(node, "name")) or uses
    when = compiled((*trail, "when"), earlier, check)
    kind = _kind((*trail, "uses") if node.items() else trail, uses, known.steps, check) if uses else None
    options = kind and check.take(kind.options, (*trail, "with"))
    add(trail, name, {*kind.facts, "inputs"} if kind and kind.facts else (), earlier, check)
    if kind is None or options is None:
        return []
    _check_destinations((*trail, "with"), kind.destinations(options), known.destinations, check)
    if entry is None:
        return []
    checkpoint = kind.checkpoint if entry.checkpoint is None else entry.checkpoint
    return [BoundStep(name, uses, kind.version, options, when, checkpoint)]


def _kind(trail: Trail, uses: str, steps: Mapping[str, StepKind], check: Check) -> StepKind | None:
    if uses not in steps:
        check.say(trail, f"no step {shown(uses)}{nearest(uses, steps)}")
        return None
    try:
        return steps[uses]
    except ConfigError as exc:
        check.say(trail, f"{exc}; {exc.fix}")
        return None


def _check_destinations(trail: Trail, wanted: Sequence[str], known: Collection[str], check: Check) -> None:
    options = check.root.nearest(trail).items()
    for name in wanted:
        if name not in known:
            key = next((key for key, node in options if name in texts(node)), None)
            check.say((*trail, key) if key else trail, f"no destination {shown(name)}{nearest(name, known)}")


def _text(node: Node, key: str) -> str:
    below = node.child(key)
    return below.value if below and isinstance(below.value, str) else ""
