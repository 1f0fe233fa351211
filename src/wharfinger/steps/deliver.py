"""
Delivers the file to one or more destinations, under a key made by a template.

The default key is the one the file arrived under, with the name that earlier steps gave it. A delivery is visible, whole and
durable once the step has ended; a repeat after a crash changes nothing. What had the key before is replaced in one step: `{version}`
in the template keeps both. Within one store no bytes pass through the process.
The file is handed on unchanged, so that more steps may follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from wharfinger.config.field import option
from wharfinger.errors import Rejected
from wharfinger.names import shown
from wharfinger.steps import Output, Reader, Result, Scratch, Step
from wharfinger.steps.template import Template, makes_key

SAME_KEY = Template("{folder}/{name}")


@dataclass(frozen=True, slots=True)
class Options:
    """What `deliver` can be told."""

    to: Annotated[
        str | Annotated[tuple[str, ...], Field(min_length=1)],
        option("The destination, or a list of them, by name.", example="lake"),
    ]
    key: Annotated[
        Template,
        AfterValidator(makes_key),
        option("Template of the key at the destination.", example="{customer}/{date:%Y/%m}/{name}"),
    ] = SAME_KEY

    def __post_init__(self) -> None:
        names = _destinations(self)
        if len(set(names)) < len(names):
            raise ValueError("a destination is named twice")


def _destinations(options: Options) -> tuple[str, ...]:
    return (options.to,) if isinstance(options.to, str) else options.to


def _run(inputs: Sequence[Reader], options: Options, scratch: Scratch) -> Result:
    keys = [options.key.key(source) for source in inputs]
    _refuse_repeats(keys)
    names = _destinations(options)
    for destination in [scratch.destinations[name] for name in names]:
        for source, key in zip(inputs, keys):
            destination.copy(source, key)
    return Result.each([(Output.unchanged(source), {"key": key, "to": [*names]}) for source, key in zip(inputs, keys)])


def _refuse_repeats(keys: Sequence[str]) -> None:
    if len(set(keys)) < len(keys):
        twice = next(key for n, key in enumerate(keys) if key in keys[:n])
        raise Rejected(
            f"two outputs of one file would both be delivered as {shown(twice)}",
            code="NAME_REPEATED",
            fix="let the key's template tell them apart, by {name}",
        )


STEP = Step(
    name="deliver",
    version="1",
    help="Delivers the file to a destination, or to several.",
    options=Options,
    run=_run,
    destinations=_destinations,
    facts={"key": "the key it was delivered under", "to": "the destinations, by name"},
    rejects={
        "NAME_UNSAFE": "the template makes a key of it that must not be used",
        "NAME_REPEATED": "several files came out of an earlier step and the template gives two of them one key",
    },
)
