"""
Gives the file another name, made by a template. No bytes move.

The name is what later steps see, and what `deliver` puts into its key; the file in custody keeps the name it arrived under.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from wharfinger.config.field import option
from wharfinger.steps import Output, Reader, Result, Scratch, Step
from wharfinger.steps.template import Template, makes_name


@dataclass(frozen=True, slots=True)
class Options:
    """What `rename` can be told."""

    to: Annotated[
        Template,
        AfterValidator(makes_name),
        option("Template of the new name; it has no folders.", example="{stem}-{date:%Y%m%d}{suffix}"),
    ]


def _run(inputs: Sequence[Reader], options: Options, _scratch: Scratch) -> Result:
    names = [options.to.name(source) for source in inputs]
    return Result.each([(Output.unchanged(source, name), {"name": name}) for source, name in zip(inputs, names)])


STEP = Step(
    name="rename",
    version="1",
    help="Gives the file another name, made by a template.",
    options=Options,
    run=_run,
    facts={"name": "the new name"},
    rejects={"NAME_UNSAFE": "the template makes a name of it that must not be used"},
)
