"""A file's history in words: what happened, when, how long each step took."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wharfinger.cli.words import many, number, size, span
from wharfinger.model import Event

CHILD = "child."
"""How the kinds begin of what happens to child runs."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline. `at` is empty for what belongs to the event above."""

    at: str
    event: str
    took: str
    text: tuple[str, ...]


def timeline(events: Sequence[Event], instant: Callable[[float], str]) -> Iterator[Line]:
    """The lines, oldest first; `instant` puts a time (epoch s) into words. A claim is told by the event that ends it."""
    before: float | None = None
    for at, event, is_claim in _told(events):
        if is_claim:
            kind = f"{CHILD if event.kind.startswith(CHILD) else ''}claimed"
            said = (f"by {event.data.get('owner', '?')}", *_child(event.data))
            yield Line(instant(at), kind, _since(before, at), said)
        else:
            yield from _steps(event.data.get("steps", ()))
            yield Line(instant(at), event.kind, _since(before, at), tuple(_said(event.data, instant)))
        before = at


def _told(events: Sequence[Event]) -> list[tuple[float, Event, bool]]:
    """Each event with its time, and before all that came after it, each claim."""
    found: list[tuple[float, Event, bool]] = []
    for event in events:
        claimed = event.data.get("claimed")
        if claimed is not None:
            place = len(found)
            while place and found[place - 1][0] > claimed:
                place -= 1
            found.insert(place, (claimed, event, True))
        found.append((event.at, event, False))
    return found


def _child(data: Mapping[str, Any]) -> Iterator[str]:
    """Which child run it is of."""
    if data.get("child"):
        yield f"{data['child']}" + (f" of {data['member']}" if data.get("member") else "") + f", run {data['run']}"


def _steps(steps: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    for step in steps:
        outcome = "" if step["outcome"] == "ok" else f": {step['outcome']}"
        yield Line("", f"  {step['name']}", span(step["seconds"]), (f"{step['uses']}{outcome}",))


def _said(data: Mapping[str, Any], instant: Callable[[float], str]) -> Iterator[str]:
    if data.get("source"):
        yield f"by {data['source']}" + (f", user {data['user']}" if data.get("user") else "")
    if data.get("by"):
        yield f"by {data['by']}"
    yield from _child(data)
    if data.get("pipeline") and not data.get("child"):
        yield f"pipeline {data['pipeline']}"
    if data.get("children"):
        yield f"{many(len(data['children']), 'child run')} by {data['step']}"
    error = data.get("error")
    if error:
        where = f" in {error['step']}" if error.get("step") else ""
        yield f"{error['code']}{where}: {error['message']}"
    for delivered in data.get("delivered") or ():
        yield f"delivered to {delivered['destination']}: {delivered['key']}"
    named = len(data.get("delivered") or ())
    if more := data.get("delivered_in_all", named) - named:
        yield f"and {number(more)} more, by child runs"
    if data.get("due"):
        yield f"next try at {instant(data['due'])}"
    if data.get("cause"):
        yield f"taken back: {data['cause']}" + (", though it ran alone" if data.get("alone") else "")
    if data.get("latest"):
        yield "a worker that had lost it came too late; nothing was changed"
    if data.get("ordered"):
        yield f"its bytes are gone, {size(data['size'])}" + (f": rule {data['rule']}" if data.get("rule") else "")
    if data.get("rebuilt"):
        yield "known from the store's journal, after the ledger was lost"


def _since(before: float | None, at: float) -> str:
    return "" if before is None else f"+{span(max(at - before, 0.0))}"
