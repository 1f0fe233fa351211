"""The steps that call other pipelines: what they name is there, and no pipeline comes to call itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from wharfinger.config.check import Check
from wharfinger.config.entry import KINDS, StepEntry
from wharfinger.config.known import Bound, Known, add, compiled
from wharfinger.config.node import Trail
from wharfinger.config.settings import BoundBranch, BoundCall, BoundStep
from wharfinger.config.words import nearest, shown

DEPTH = 5
"""Most pipelines that may be called one by another."""

FACTS = ("children", "transferred", "failed", "quarantined", "unsuccessful")
"""What a later condition may ask about a call, as `steps.NAME.failed`: how many children there were, and how they ended."""

DELIVER = "deliver"
"""The step by which `copies` delivers."""


def bind(
    trail: Trail, pipeline: str, entry: StepEntry, known: Known, earlier: dict[str, Collection[str]], check: Check
) -> list[BoundCall]:
    """The call that `entry` of this pipeline is, if nothing is wrong with it; see `pipeline.bind` for `earlier`."""
    kind = next(kind for kind in KINDS if getattr(entry, kind))
    when = compiled((*trail, "when"), earlier, check)
    branches = [*_branches((*trail, kind), kind, pipeline, entry, known, earlier, check)]
    name = entry.name or (entry.pipeline.replace(".", "-") if kind == "pipeline" else kind)
    add(trail, name, FACTS, earlier, check)
    return [
        BoundCall(
            name=name,
            kind="each" if entry.each else kind,
            branches=tuple(branches),
            when=when,
            on_child_failure=entry.on_child_failure,
            members=entry.members,
        )
    ]


def _branches(
    trail: Trail,
    kind: str,
    pipeline: str,
    entry: StepEntry,
    known: Known,
    earlier: Mapping[str, Collection[str]],
    check: Check,
) -> Iterator[BoundBranch]:
    match kind:
        case "pipeline":
            yield from _branch(trail, entry.pipeline, known, check)
        case "parallel":
            for n, name in enumerate(entry.parallel):
                yield from _branch((*trail, n), name, known, check)
        case "choose":
            for n, branch in enumerate(entry.choose):
                if not branch.when and n + 1 < len(entry.choose):
                    check.say((*trail, n), "without a `when` it is always taken, so that it must be the last branch")
                when = compiled((*trail, n, "when"), earlier, check)
                place = check.root.find((*trail, n, "pipeline"))
                for each in _branch((*trail, n, "pipeline") if place else (*trail, n), branch.pipeline, known, check):
                    yield BoundBranch(each.pipeline, when)
        case _:
            for n, name in enumerate(entry.copies):
                if name not in known.destinations:
                    check.say((*trail, n), f"no destination {shown(name)}{nearest(name, known.destinations)}")
                yield BoundBranch(f"{pipeline}:{name}")
            if DELIVER not in known.steps:
                check.say(trail, f"it takes the step '{DELIVER}', and there is none")


def _branch(trail: Trail, name: str, known: Known, check: Check) -> Iterator[BoundBranch]:
    if name in known.pipelines:
        yield BoundBranch(name)
    else:
        check.say(trail, f"no pipeline {shown(name)}{nearest(name, known.pipelines)}")


def check_graph(pipelines: Mapping[str, Sequence[Bound]], check: Check) -> None:
    """Note in `check` where pipelines call each other in a circle, or too deep."""
    ways: dict[str, tuple[str, ...]] = {}  # from each the longest way of calls

    def way(name: str, above: tuple[str, ...]) -> tuple[str, ...]:
        if name in above:
            circle = " > ".join((*above[above.index(name) :], name))
            check.say(("pipelines", name, "steps"), f"pipelines call each other in a circle: {circle}")
        elif name not in ways:
            inner = [way(each, (*above, name)) for each in called(pipelines.get(name, ()))]
            ways[name] = (name, *max(inner, key=len, default=()))
        return ways.get(name, ())

    for name in pipelines:
        if len(found := way(name, ())) > DEPTH + 1:
            deep = (
                f"pipelines call one another {len(found) - 1} deep: {' > '.join(found)}; at most {DEPTH} are possible"
            )
            check.say(("pipelines", name, "steps"), deep)


def called(steps: Sequence[Bound]) -> list[str]:
    """The pipelines that these steps call, each once."""
    branches = (branch for step in steps if isinstance(step, BoundCall) for branch in step.branches)
    return [*dict.fromkeys(branch.pipeline for branch in branches)]


def inner_first(pipelines: Mapping[str, Sequence[Bound]]) -> list[str]:
    """The names of all, each after those that it calls. There must be no circle."""
    found: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in found:
            for inner in called(pipelines[name]):
                visit(inner)
            found[name] = None

    for name in pipelines:
        visit(name)
    return [*found]


def copies(pipelines: Mapping[str, Sequence[Bound]], known: Known) -> dict[str, tuple[BoundStep, ...]]:
    """The pipelines that `copies` calls, by name: `claims:lake` delivers to `lake` what `claims` hands it."""
    return {
        branch.pipeline: (_delivery(branch.pipeline.rpartition(":")[2], known),)
        for steps in pipelines.values()
        for step in steps
        if isinstance(step, BoundCall) and step.kind == "copies"
        for branch in step.branches
    }


def _delivery(destination: str, known: Known) -> BoundStep:
    kind = known.steps[DELIVER]
    return BoundStep(DELIVER, DELIVER, kind.version, kind.options(to=destination), None, kind.checkpoint)
