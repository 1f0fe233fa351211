"""What may stand under `pipelines:`, as a person writes it: declared as in `settings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from wharfinger.config.field import Globs, Names, When, in_order, option
from wharfinger.names import shown

STEPS = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""Steps have no dots in their names, since conditions read `steps.NAME.FACT`."""


@dataclass(frozen=True, slots=True)
class Retry:
    """When a failed file is tried again: after rand(0, min(cap, base * 2**tries)) seconds."""

    tries: Annotated[int, option("Failures after which the file is a dead letter.", ge=1, le=100)] = 3
    base_s: Annotated[float, option("Longest wait before the second try.", unit="s", gt=0)] = 30.0
    cap_s: Annotated[float, option("Longest wait before any try.", unit="s", gt=0)] = 900.0


@dataclass(frozen=True, slots=True)
class Route:
    """Which files a pipeline takes: all that is given must fit."""

    customer: Annotated[Globs, option("Globs over the customer's name; any one fits.", example=["acme*"])] = ()
    key: Annotated[
        Globs,
        option("Globs over the path below the customer's home; `**` crosses folders.", example=["inbound/**/*.csv"]),
    ] = ()
    type: Annotated[Globs, option("Globs over the media type, found by content.", example=["text/*"])] = ()
    when: Annotated[When, option("A condition over `file` and `customer`.", example="file.size <= 1048576")] = ""

    def __post_init__(self) -> None:
        for glob in self.type:
            if not {"/", "*"} & {*glob}:
                raise ValueError(f"{shown(glob)} fits no media type: each has a / in it, such as application/gzip")


def _spelled_out(value: Any) -> Any:
    return {"uses": value} if isinstance(value, str) else value


def _branch(value: Any) -> Any:
    return {"pipeline": value} if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Branch:
    """One way that a `choose` may take."""

    pipeline: Annotated[str, option("The pipeline that is called.", example="large")]
    when: Annotated[
        When,
        option(
            "It is taken if this holds and no earlier branch was; without it, always. Only the last may lack it.",
            example="file.size > 1048576",
        ),
    ] = ""


MEMBERS = 10_000
"""Most members of an archive, unless a pipeline says otherwise."""


@dataclass(frozen=True, slots=True)
class StepEntry:
    """
    One step of a pipeline: it either `uses` a step, or calls other pipelines, each as a run of its own beside this one, which waits
    until they have ended. The name of a step alone is enough where it needs no more.
    """

    uses: Annotated[str, option("The step.", example="deliver")] = ""
    pipeline: Annotated[str, option("Calls this pipeline.", example="claims")] = ""
    each: Annotated[
        Literal["member"] | None,
        option("`member`: the `pipeline` is called for each file in the zip archive, instead of for the archive."),
    ] = None
    parallel: Annotated[Names, option("Calls these pipelines, all at once.", example=["lake", "index"])] = ()
    choose: Annotated[
        tuple[Annotated[Branch, BeforeValidator(_branch, json_schema_input_type=str | Branch)], ...],
        BeforeValidator(in_order, json_schema_input_type=list[str | Branch]),
        option("Calls the pipeline of the first branch that holds; where none does, the step is passed by."),
    ] = ()
    copies: Annotated[
        Names,
        option("Delivers to these destinations, to each in a run of its own: one that is down keeps no other waiting."),
    ] = ()
    on_child_failure: Annotated[
        Literal["fail", "continue"],
        option("What becomes of the file, after all that was called has ended, if anything of it failed."),
    ] = "fail"
    members: Annotated[int, option("Most files in an archive, with `each: member`.", ge=1, le=50_000)] = MEMBERS
    name: Annotated[
        str,
        option(
            "What conditions and records call it; by default what it uses, the pipeline that it calls, or `parallel`, `choose`, `copies`.",
            example="to-lake",
            pattern=STEPS,
        ),
    ] = ""
    when: Annotated[
        When,
        option(
            "The step is passed by unless this holds: a condition over `file`, `customer`, `member` and earlier `steps`.",
            example="steps.checksum.sha256 exists",
        ),
    ] = ""
    with_: Annotated[
        Mapping[str, Any] | None, option("The step's options.", example={"to": "partner"}, alias="with")
    ] = None
    checkpoint: Annotated[
        bool | None, option("Whether its outputs are kept for a retry to start from; by default as the step says.")
    ] = None

    def __post_init__(self) -> None:
        kinds = [kind for kind in KINDS if getattr(self, kind)]
        if len(kinds) != 1:
            found = f"; here are {' and '.join(f'`{kind}`' for kind in kinds)}" if kinds else ""
            raise ValueError(f"a step has exactly one of {', '.join(f'`{kind}`' for kind in KINDS)}{found}")
        strays = [key for key in ("with_", "checkpoint") if getattr(self, key) is not None and not self.uses]
        if strays:
            raise ValueError(f"`{strays[0].rstrip('_')}` belongs to a step with `uses`; this one has `{kinds[0]}`")
        if self.each and not self.pipeline:
            raise ValueError("`each` calls one pipeline for each member: name it by `pipeline`")
        for kind in ("parallel", "copies"):
            if len(set(names := getattr(self, kind))) < len(names):
                raise ValueError(f"`{kind}` names {shown(next(n for n in names if names.count(n) > 1))} twice")


KINDS = ("uses", "pipeline", "parallel", "choose", "copies")
"""What a step may be: it has exactly one of these keys."""


@dataclass(frozen=True, slots=True)
class PipelineEntry:
    """What becomes of the files that the route takes. The first pipeline in the file that fits takes a file."""

    steps: Annotated[
        tuple[Annotated[StepEntry, BeforeValidator(_spelled_out, json_schema_input_type=str | StepEntry)], ...],
        option("What is done, in this order.", min_length=1),
    ]
    route: Annotated[
        Route | None,
        option("Which files it takes; without it all, or if another pipeline calls it, only what that hands it."),
    ] = None
    retry: Annotated[Retry, option("When a failed file is tried again.")] = field(default_factory=Retry)
