"""Child runs as rows: which of them a call makes, and what became of all that one has made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from wharfinger.ledger import MANY, TROUBLES, row
from wharfinger.ledger.figure import Place
from wharfinger.ledger.history import Told
from wharfinger.ledger.run import Found
from wharfinger.model import ENDED, Call, Checkpoint, Child, ChildRecord, Delivered, Family, State, Status


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call comes to, by what is there already: children that are new, that start again, or that it takes over as they are."""

    parent: Found
    call: Call
    new: Sequence[tuple[str, Child]]
    again: Sequence[tuple[Found, Child]]
    adopted: Sequence[str]
    pending: Sequence[bool]  # of each child of the call, whether it is still to end

    @property
    def children(self) -> list[Child]:
        """Those that enter the queue."""
        return [child for _, child in (*self.new, *self.again)]

    @property
    def told(self) -> Told:
        """Which children it has made."""
        ids = [*(id for id, _ in self.new), *(found.id for found, _ in self.again)]
        return self.parent.told("spawned", {"step": self.call.children[0].step, "children": ids})


def wanted(call: Call, parent: Found, known: Mapping[str, Found], calls: Mapping[str, str]) -> Wanted:
    """What is to be done for this call of `parent`, of whose children these are `known`, each made by the call `calls` says."""
    pairs = [(child.id(call.run), child) for child in call.children]
    others = {id for id, _ in pairs if id in known and calls[id] != call.id}
    again = [(known[id], child) for id, child in pairs if id in others and known[id].state in ENDED]
    started = {found.id for found, _ in again}
    return Wanted(
        parent=parent,
        call=call,
        new=[(id, child) for id, child in pairs if id not in known],
        again=again,
        adopted=sorted(others - started),
        pending=[id not in known or id in started or known[id].state not in ENDED for id, _ in pairs],
    )


def checkpoint(child: Child) -> str | None:
    """The one that a child is born with: void, it names what is of no use once the child has ended."""
    return row.from_checkpoint(Checkpoint(0, (), {}, "", (), child.kept)) if child.kept else None


def fewer(runs: Iterable[Found]) -> dict[str, int]:
    """How many of those that have just ended each parent waited for."""
    return dict(Counter(found.parent for found in runs if found.parent is not None))


COUNTS = "SELECT state, status, error <> '', count(*) FROM run WHERE parent = ? AND call = ? GROUP BY state, status, error <> ''"
TROUBLED = f"""
SELECT input, status, error FROM run WHERE parent = ? AND call = ? AND state IN ('dead', 'done') AND error <> ''
ORDER BY state, id LIMIT {TROUBLES}
"""  # noqa: S608
OUTPUTS = f"SELECT output FROM run WHERE parent = ? AND call = ? AND output <> '[]' ORDER BY id LIMIT {MANY}"  # noqa: S608
"""What a family is made of."""


def family(
    counts: Iterable[tuple[str, str, bool, int]],
    troubled: Iterable[tuple[str, str, str]],
    outputs: Iterable[tuple[str]],
) -> Family:
    """The rows of COUNTS, TROUBLED and OUTPUTS in words."""
    found: Counter[str] = Counter()
    for state, status, has_error, n in counts:
        end = _end((State(state), Status(status)))
        found[end] += n
        if end == "transferred" and has_error:
            found["incomplete"] += n
    delivered: list[Delivered] = []
    for (output,) in outputs:
        delivered += row.to_delivered(orjson.loads(output))
    troubles = tuple((_who(input), Status(status), error) for input, status, error in troubled)
    ends = found["pending"], found["transferred"], found["failed"], found["quarantined"], found["incomplete"]
    return Family(*ends, troubles, tuple(delivered[:MANY]))


def _end(place: Place) -> str:
    state, status = place
    if state not in ENDED:
        return "pending"
    if state == State.DONE:
        return "transferred"
    return "quarantined" if status == Status.QUARANTINED else "failed"


def _who(input: str) -> str:
    made = orjson.loads(input)
    return str(made["member"] or made["pipeline"])


CHILDREN = """
SELECT id, parent, input, size, state, status, tries + crashes, error, waits, due
FROM run WHERE parent = ? AND id > ? ORDER BY id LIMIT ?
"""


def record(found: tuple[Any, ...]) -> ChildRecord:
    """The record of a row of CHILDREN."""
    id, parent, input, size, state, status, attempts, error, waits, due = found
    made = orjson.loads(input)
    where = (id, parent, made["pipeline"], made["step"], made["member"], size)
    return ChildRecord(*where, State(state), Status(status), attempts, error, waits, row.seconds(due))
