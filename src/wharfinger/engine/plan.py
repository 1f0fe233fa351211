"""A pipeline with everything that it takes to run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wharfinger.config.settings import BoundStep, Pipeline
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


@dataclass(frozen=True, slots=True)
class Plan:
    """A pipeline, its steps found and its destinations opened."""

    pipeline: Pipeline
    stages: tuple[Stage, ...]


def plan(pipeline: Pipeline, steps: Mapping[str, Step], targets: Mapping[str, Target]) -> Plan:
    """Find all that the pipeline names. Raises ConfigError."""
    return Plan(pipeline, tuple([_stage(pipeline, bound, steps, targets) for bound in pipeline.steps]))


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
