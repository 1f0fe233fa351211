"""`wharf steps`: what a pipeline can do to a file, and what each step can be told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import click

from wharfinger.cli.frame import Verbs
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, answer, document, heading, listing
from wharfinger.cli.words import span
from wharfinger.config.words import nearest
from wharfinger.errors import UsageError, WharfingerError
from wharfinger.steps.registry import Registry

STEPS = (
    Column("step", "Step"),
    Column("version", "Version", right=True),
    Column("help", "What it does", folds=True),
    Column("origin", "From"),
)

OPTIONS = (
    Column("name", "Option"),
    Column("type", "Type", folds=True),
    Column("default", "Default", lambda row: _default(row), folds=True),
    Column("help", "What it means", folds=True),
    Column("example", "Example", lambda row: "" if row["example"] is None else _text(row["example"]), folds=True),
)

MEANINGS = (Column("name", "Name"), Column("meaning", "Meaning", folds=True))


@click.group(cls=Verbs)
def command() -> None:
    """The steps that a pipeline can be made of."""


@command.command("list")
@pass_session
def list_(session: Session) -> None:
    """All steps that are installed."""
    registry = Registry()
    listing((_row(registry, name) for name in registry), STEPS, json=session.json)


@command.command()
@click.argument("name")
@pass_session
def show(session: Session, name: str) -> None:
    """One step: its options, the facts it states, and why it may reject a file."""
    from wharfinger.steps.reference import describe

    registry = _knowing(name)
    step = describe(registry[name], registry.origin(name))
    if session.json:
        document(asdict(step))
        return
    answer((f"{step.name}, version {step.version}, of {step.origin}", "", *step.text.splitlines(), ""))
    listing([asdict(option) for option in step.options], OPTIONS, json=False)
    answer(("", f"It may take {span(step.seconds)}."))
    for title, words in (("Facts it states", step.facts), ("Codes under which it rejects a file", step.rejects)):
        if words:
            heading(title)
            listing(_meanings(words), MEANINGS, json=False)


def _row(registry: Registry, name: str) -> dict[str, Any]:
    row = {"step": name, "origin": registry.origin(name)}
    try:
        step = registry[name]
    except WharfingerError as error:  # one that is broken is listed with its reason, beside those that work
        return row | {"version": None, "help": str(error)}
    return row | {"version": step.version, "help": step.help}


def _knowing(name: str) -> Registry:
    registry = Registry()
    if name in registry:
        return registry
    raise UsageError(f"no step {name!r}{nearest(name, registry)}", code="NOT_FOUND", fix="wharf steps list")


def _meanings(words: Mapping[str, str]) -> Iterator[dict[str, str]]:
    return ({"name": name, "meaning": meaning} for name, meaning in words.items())


def _default(option: Mapping[str, Any]) -> str:
    if option["required"]:
        return "(required)"
    return f"{_text(option['default'])} {option['unit']}".rstrip()


def _text(value: Any) -> str:
    import orjson

    return value if isinstance(value, str) else orjson.dumps(value).decode()
