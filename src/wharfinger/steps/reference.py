"""What a step can be told and what it tells, as plain data; and the reference page of the steps that come with wharfinger."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from wharfinger.steps import BUILTIN, Step, template
from wharfinger.steps.registry import Registry
from wharfinger.steps.template import DATE, VARIABLES

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One option. `default` is JSON; of one that must be given it is None and `required` is true."""

    name: str  # "limits.ratio" inside another
    type: str
    required: bool
    default: Any
    unit: str
    example: Any
    help: str


@dataclass(frozen=True, slots=True)
class StepInfo:
    """One step, complete: `dataclasses.asdict` of it is JSON."""

    name: str
    version: str
    origin: str  # the package that it comes from
    help: str
    text: str  # the module's docstring, in Markdown
    checkpoint: bool
    seconds: float
    options: tuple[OptionInfo, ...]
    facts: Mapping[str, str]
    rejects: Mapping[str, str]


def describe(step: Step, origin: str = "") -> StepInfo:
    """All that there is to know of a step."""
    schema = TypeAdapter(step.options).json_schema()
    return StepInfo(
        name=step.name,
        version=step.version,
        origin=origin,
        help=step.help,
        text=inspect.getdoc(sys.modules.get(step.run.__module__)) or "",
        checkpoint=step.checkpoint,
        seconds=step.seconds,
        options=tuple(_options(schema, schema.get("$defs", {}))),
        facts=dict(step.facts),
        rejects=dict(step.rejects),
    )


def _options(schema: Schema, shared: Schema, prefix: str = "") -> Iterator[OptionInfo]:
    for name, found in schema.get("properties", {}).items():
        inner = _inner(found, shared)
        if inner:
            yield from _options(inner, shared, f"{prefix}{name}.")
        else:
            yield OptionInfo(
                name=prefix + name,
                type=_type(found),
                required=name in schema.get("required", ()),
                default=found.get("default"),
                unit=found.get("unit", ""),
                example=next(iter(found.get("examples", ())), None),
                help=found.get("description", ""),
            )


def _inner(found: Schema, shared: Schema) -> Schema | None:
    return shared[found["$ref"].rpartition("/")[2]] if "$ref" in found else None


def _type(found: Schema) -> str:
    if "enum" in found or "const" in found:
        return " or ".join(str(word) for word in found.get("enum", [found.get("const")]))
    if "anyOf" in found:
        return " or ".join(_type(one) for one in found["anyOf"])
    if found.get("type") == "array":
        return f"list of {_type(found.get('items', {}))}"
    return str(found.get("type", "anything")) + _bounds(found)


def _bounds(found: Schema) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "more than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    said = [f"{word} {found[key]:g}" for key, word in words.items() if key in found]
    return f", {', '.join(said)}" if said else ""


def page(steps: Iterable[StepInfo]) -> str:
    """The reference page, in Markdown."""
    return "\n".join([*_OPENING, *(line for step in steps for line in _section(step)), *_templates(), ""])


_OPENING = (
    "# Steps",
    "",
    "<!-- Made by `python -m wharfinger.steps.reference`; edit the steps, not this page. -->",
    "",
    "What a pipeline can do to a file. `wharf steps list` names them, `wharf steps show NAME` tells the same as this page.",
    "Facts are what a step states of a file: a later `when:` reads them as `steps.NAME.FACT`. A rejected file is quarantined",
    "under the code given here; no retry can help it.",
)


def _section(step: StepInfo) -> Iterator[str]:
    yield from ("", f"## {step.name}", "", step.text or step.help)
    checkpoint = ", with a checkpoint after it" if step.checkpoint else ""
    yield from ("", f"Version {step.version}; may take {step.seconds:g} s{checkpoint}.")
    if step.options:
        yield from _table("Option | Type | Default | Meaning", (_row(option) for option in step.options))
    if step.facts:
        yield from _table("Fact | Meaning", ((f"`{name}`", help) for name, help in step.facts.items()))
    if step.rejects:
        yield from _table("Rejected as | When", ((f"`{code}`", when) for code, when in step.rejects.items()))


def _row(option: OptionInfo) -> tuple[str, ...]:
    default = (
        "required" if option.required else f"`{_json(option.default)}`" + (f" {option.unit}" if option.unit else "")
    )
    example = f" Example: `{_json(option.example)}`." if option.example is not None else ""
    return f"`{option.name}`", option.type, default, option.help + example


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _table(heading: str, rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield from ("", f"| {heading} |", "|" + " --- |" * (heading.count("|") + 1))
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def _templates() -> Iterator[str]:
    yield from (
        "",
        "## Templates",
        "",
        inspect.getdoc(template) or "",
    )
    date = ("`{date}`", "the day of the arrival in UTC; with a format any part of its time", f"`{{date:{DATE}}}`")
    rows = [(f"`{{{name}}}`", of.help, f"`{of.example}`") for name, of in VARIABLES.items()]
    yield from _table("Variable | Stands for | Example", [*rows, date])


if __name__ == "__main__":
    registry = Registry()
    sys.stdout.write(page(describe(registry[name], registry.origin(name)) for name in BUILTIN))
