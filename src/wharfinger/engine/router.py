"""The parent: which pipeline takes this arrival? Pure; the first that fits, in file order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wharfinger.config import glob
from wharfinger.config.settings import Pipeline
from wharfinger.model import Arrival, Child
from wharfinger.names import nfc

NO_FACTS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a pipeline says to an arrival, and why: "key 'inbound/x.pdf' does not fit inbound/**/*.csv"."""

    pipeline: str
    fits: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.pipeline}: {self.reason}"


def match(arrival: Arrival, pipelines: Sequence[Pipeline]) -> Pipeline | None:
    """The pipeline that takes this arrival."""
    names = _names(arrival)
    for pipeline in pipelines:
        if pipeline.is_routed and _misfit(pipeline, names) is None and _accepts(pipeline, arrival):
            return pipeline
    return None


def explain(arrival: Arrival, pipelines: Sequence[Pipeline]) -> list[Verdict]:
    """What each pipeline says. The first that fits takes the file; those after it are judged as if it were not there."""
    return [_verdict(pipeline, arrival) for pipeline in pipelines]


def unrouted(arrival: Arrival) -> str:
    """Why the file stays where it is, when nothing fits."""
    _, key, media_type = _names(arrival)
    return f"no pipeline takes {key!r} ({media_type}) of {arrival.customer}; `wharf route explain` tells why"


def view(
    arrival: Arrival, facts: Mapping[str, Mapping[str, Any]] = NO_FACTS, child: Child | None = None
) -> Mapping[str, Any]:
    """
    What a condition can see: `file`, `customer`, and `steps` with the facts of each step so far; where the run is that of a member
    of an archive, also `member`.
    """
    folder, _, name = arrival.key.rpartition("/")
    return {
        **({"member": _member(child)} if child and child.member else {}),
        "file": {
            "key": arrival.key,
            "name": name,
            "folder": folder,
            "size": arrival.size,
            "media_type": arrival.media_type,
            "customer": arrival.customer,
            "user": arrival.user,
            "source": arrival.source,
            "sha256": arrival.sha256,
            "version": arrival.version,
            "at": arrival.at,
        },
        "customer": {"name": arrival.customer},
        "steps": facts,
    }


def _member(child: Child) -> Mapping[str, Any]:
    _, name, media_type = child.inputs[0]
    return {"path": child.member, "name": name, "size": child.size, "media_type": media_type}


_PARTS = ("customer", "key", "type")
"""What the globs of a route are held against."""


def _names(arrival: Arrival) -> tuple[str, str, str]:
    """The text for each part; the key counts from below the customer's home."""
    return nfc(arrival.customer), nfc(arrival.key.partition("/")[2]), arrival.media_type


def _globs(pipeline: Pipeline) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return pipeline.route.customer, pipeline.route.key, pipeline.route.type


def _misfit(pipeline: Pipeline, names: tuple[str, str, str]) -> int | None:
    """Which of the three does not fit, if any."""
    for n, globs in enumerate(_globs(pipeline)):
        if globs and not glob.compile(globs).fullmatch(names[n]):
            return n
    return None


def _accepts(pipeline: Pipeline, arrival: Arrival) -> bool:
    return not pipeline.route.when or pipeline.accepts(view(arrival))


def _verdict(pipeline: Pipeline, arrival: Arrival) -> Verdict:
    if not pipeline.is_routed:
        return Verdict(pipeline.name, False, "takes only what other pipelines hand it: it has no route")
    names = _names(arrival)
    n = _misfit(pipeline, names)
    if n is not None:
        globs = " or ".join(_globs(pipeline)[n])
        return Verdict(pipeline.name, False, f"{_PARTS[n]} {names[n]!r} does not fit {globs}")
    if not _accepts(pipeline, arrival):
        return Verdict(pipeline.name, False, f"the condition does not hold: {pipeline.route.when}")
    return Verdict(pipeline.name, True, "takes it")
