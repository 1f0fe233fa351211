"""Checks the pipelines of a configuration, all that they refer to included, and resolves them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from wharfinger.config import canonical, condition, glob
from wharfinger.config.check import Check
from wharfinger.config.condition import Condition
from wharfinger.config.node import Node, Trail
from wharfinger.config.settings import BoundStep, Destination, Pipeline, PipelineEntry, StepEntry
from wharfinger.config.words import nearest, shown
from wharfinger.errors import ConfigError


class StepKind(Protocol):
    """What a configuration needs to know of a step."""

    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def help(self) -> str: ...  # noqa: D102
    @property
    def options(self) -> type[Any]: ...  # noqa: D102
    @property
    def checkpoint(self) -> bool: ...  # noqa: D102
    @property
    def destinations(self) -> Callable[[Any], Sequence[str]]: ...  # noqa: D102
    @property
    def facts(self) -> Mapping[str, str]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Known:
    """What pipelines may refer to, by name."""

    steps: Mapping[str, StepKind]
    customers: Collection[str]
    destinations: Collection[str]


def bind(name: str, known: Known, check: Check) -> tuple[BoundStep, ...]:
    """The steps of the pipeline `name`, ready to run. What is wrong is noted in `check`, and left out here."""
    trail = ("pipelines", name)
    _check_customers((*trail, "route", "customer"), known, check)
    _condition((*trail, "route", "when"), {}, check)
    bound: list[BoundStep] = []
    earlier: dict[str, Collection[str]] = {}
    lines = check.root.find((*trail, "steps"))
    for n, line in enumerate(lines.value if lines and isinstance(lines.value, list) else []):
        if isinstance(line.value, (str, dict)):
            bound += _bind((*trail, "steps", n), known, earlier, check)
    return tuple(bound)


def resolve(
    name: str, entry: PipelineEntry, steps: tuple[BoundStep, ...], destinations: Mapping[str, Destination]
) -> Pipeline:
    """The pipeline, when nothing is wrong with it; `destinations` are those that its steps deliver to."""
    document = canonical.text(
        {
            "name": name,
            "route": entry.route,
            "retry": entry.retry,
            "steps": [_described(step) for step in steps],
            "destinations": destinations,
        }
    )
    return Pipeline(
        name=name,
        route=entry.route,
        accepts=condition.compile(entry.route.when) if entry.route.when else condition.ALWAYS,
        steps=steps,
        retry=entry.retry,
        revision=hashlib.sha256(document.encode()).hexdigest(),
        document=document,
    )


def _described(step: BoundStep) -> Mapping[str, Any]:
    return {
        "name": step.name,
        "uses": f"{step.uses}@{step.version}",
        "with": step.options,
        "when": step.when.text if isinstance(step.when, Condition) else "",
        "checkpoint": step.checkpoint,
    }


def _bind(trail: Trail, known: Known, earlier: dict[str, Collection[str]], check: Check) -> list[BoundStep]:
    """The one step there, if nothing is wrong with it; `earlier` holds the steps before it, and gets its name and facts."""
    node = check.root.nearest(trail)
    entry = StepEntry(node.value) if isinstance(node.value, str) else check.take(StepEntry, trail)
    uses = entry.uses if entry else _text(node, "uses")
    name = (entry.name if entry else _text(node, "name")) or uses
    when = _condition((*trail, "when"), earlier, check)
    kind = _kind((*trail, "uses") if node.items() else trail, uses, known.steps, check) if uses else None
    options = kind and check.take(kind.options, (*trail, "with"))
    if name in earlier:
        check.say(
            (*trail, "name"), f"an earlier step is called {shown(name)} already; give this one a `name` of its own"
        )
    earlier[name] = {*kind.facts, "inputs"} if kind and kind.facts else ()
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


def _condition(trail: Trail, earlier: Mapping[str, Collection[str]], check: Check) -> Condition | None:
    node = check.root.find(trail)
    if node is None or not isinstance(node.value, str) or not node.value:
        return None
    try:
        found = condition.compile(node.value)
        condition.check_steps(found, earlier)
        return found
    except ValueError as exc:
        check.say(trail, str(exc))
        return None


def _check_destinations(trail: Trail, wanted: Sequence[str], known: Collection[str], check: Check) -> None:
    options = check.root.nearest(trail).items()
    for name in wanted:
        if name not in known:
            key = next((key for key, node in options if name in _texts(node)), None)
            check.say((*trail, key) if key else trail, f"no destination {shown(name)}{nearest(name, known)}")


def _check_customers(trail: Trail, known: Known, check: Check) -> None:
    node = check.root.find(trail)
    for name in _texts(node) if node else ():
        if glob.is_plain(name) and name not in known.customers:
            check.say(trail, f"no customer {shown(name)}{nearest(name, known.customers)}")


def _texts(node: Node) -> list[str]:
    """The text that is there, or the texts of the list that is there."""
    below = node.value if isinstance(node.value, list) else [node]
    return [each.value for each in below if isinstance(each.value, str)]


def _text(node: Node, key: str) -> str:
    below = node.child(key)
    return below.value if below and isinstance(below.value, str) else ""
