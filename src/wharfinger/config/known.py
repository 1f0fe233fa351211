"""What the steps of a pipeline may refer to: kinds of steps, names, and the steps before them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from wharfinger.config import condition, glob
from wharfinger.config.check import Check
from wharfinger.config.condition import Condition
from wharfinger.config.node import Node, Trail
from wharfinger.config.settings import BoundCall, BoundStep
from wharfinger.config.words import nearest, shown


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
    pipelines: Collection[str]


Bound = BoundStep | BoundCall
"""A step of a pipeline, ready to run."""


def add(trail: Trail, name: str, facts: Collection[str], earlier: dict[str, Collection[str]], check: Check) -> None:
    """Add a step, with the facts that it may state, to those before the next one."""
    if name in earlier:
        check.say(
            (*trail, "name"), f"an earlier step is called {shown(name)} already; give this one a `name` of its own"
        )
    earlier[name] = facts


def check_names(trail: Trail, what: str, known: Collection[str], check: Check) -> None:
    """Every name that stands there is one of those that are known; a glob may fit any."""
    node = check.root.find(trail)
    for name in texts(node) if node else ():
        if glob.is_plain(name) and name not in known:
            check.say(trail, f"no {what} {shown(name)}{nearest(name, known)}")


def texts(node: Node) -> list[str]:
    """The text that is there, or the texts of the list that is there."""
    below = node.value if isinstance(node.value, list) else [node]
    return [each.value for each in below if isinstance(each.value, str)]


def compiled(
    trail: Trail, earlier: Mapping[str, Collection[str]], check: Check, *, of_route: bool = False
) -> Condition | None:
    """The condition that stands there; None where none does, or a wrong one."""
    node = check.root.find(trail)
    if node is None or not isinstance(node.value, str) or not node.value:
        return None
    try:
        found = condition.compile(node.value)
        condition.check_steps(found, earlier)
        if of_route:
            condition.refuse_members(found)
        return found
    except ValueError as exc:
        check.say(trail, str(exc))
        return None
