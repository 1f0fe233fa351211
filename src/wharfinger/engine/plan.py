"""A pipeline with everything that it takes to run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wharfinger.config.settings import BoundCall, BoundStep, Pipeline
from wharfinger.errors import ConfigError
from wharfinger.steps import Step
from wharfinger.store import Target


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a plan."""

    bound: BoundStep
    step: Step
    uses: str  # "gzip@1"
    targets: Mapping[str, Target]  # those that the step declared

    @property
    def name(self) -> str:
        """What conditions and records call it."""
        return self.bound.name

    @property
    def seconds(self) -> float:
        """What takes longer is stopped."""
        return self.step.seconds

    @property
    def checkpoint(self) -> bool:
        """Whether its outputs are kept for a retry."""
        return self.bound.checkpoint


@dataclass(frozen=True, slots=True)
class Crossing:
    """One step of a plan that calls other pipelines."""

    bound: BoundCall
    revisions: Mapping[str, str]  # of those that it may call
    seconds: float = 600.0
    checkpoint: bool = False  # it always makes one, once it has called

    @property
    def name(self) -> str:
        """What conditions and records call it."""
        return self.bound.name

    @property
    def uses(self) -> str:
        """As records have it: "parallel lake, index"."""
        return f"{self.bound.kind} {', '.join(branch.pipeline for branch in self.bound.branches)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline, its steps found and its destinations opened."""

    pipeline: Pipeline
    stages: tuple[Stage | Crossing, ...]


def plan(
    pipeline: Pipeline, steps: Mapping[str, Step], targets: Mapping[str, Target], revisions: Mapping[str, str]
) -> Plan:
    """Find all that the pipeline names; `revisions` has those of all pipelines, by name. Raises ConfigError."""
    return Plan(
        pipeline,
        tuple(
            [
                Crossing(bound, {each.pipeline: revisions[each.pipeline] for each in bound.branches})
                if isinstance(bound, BoundCall)
                else _stage(pipeline, bound, steps, targets)
                for bound in pipeline.steps
            ]
        ),
    )


def _stage(pipeline: Pipeline, bound: BoundStep, steps: Mapping[str, Step], targets: Mapping[str, Target]) -> Stage:
    where = f"pipeline {pipeline.name}, step {bound.name}"
    if bound.uses not in steps:
        raise ConfigError(
            f"{where}: no step '{bound.uses}' is installed", fix="`wharf steps list` shows those that are"
        )
    step = steps[bound.uses]
    names = step.destinations(bound.options)
    for name in names:
        if name not in targets:
            raise ConfigError(f"{where}: no destination '{name}'", fix="add it under `destinations`")
    return Stage(bound, step, f"{bound.uses}@{bound.version}", {name: targets[name] for name in names})
