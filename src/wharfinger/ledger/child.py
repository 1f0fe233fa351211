"""Child runs as rows: which of them a call makes, and what became of all that one has made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from wharfinger.ledger import MANY, TROUBLES, Filter, row
from wharfinger.ledger.figure import Place
from wharfinger.ledger.history import Told
from wharfinger.ledger.record import conditions, is_led_by_status, rest
from wharfinger.ledger.run import Found
from wharfinger.model import ENDED, Call, Checkpoint, Child, ChildRecord, Clash, Delivered, Family, State, Status


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


COUNTS = """
SELECT state, status, error <> '', count(*), CAST(sum(delivered) AS bigint) FROM run WHERE parent = ? AND call = ?
GROUP BY state, status, error <> ''
"""
TROUBLED = f"""
SELECT input, status, error FROM run WHERE parent = ? AND call = ? AND state IN ('dead', 'done') AND error <> ''
ORDER BY state, id LIMIT {TROUBLES}
"""  # noqa: S608
OUTPUTS = f"SELECT output FROM run WHERE parent = ? AND call = ? AND output <> '[]' ORDER BY id LIMIT {MANY}"  # noqa: S608
CLASH = """
SELECT (d.value ->> 'destination') COLLATE {bytewise}, (d.value ->> 'key') COLLATE {bytewise},
  min(r.input COLLATE {bytewise}), max(r.input COLLATE {bytewise}) FROM run r, {deliveries}
WHERE r.parent = ? AND r.call = ? AND r.output <> '[]'
GROUP BY d.value ->> 'destination', d.value ->> 'bucket', d.value ->> 'key'
HAVING count(DISTINCT r.id) > 1 AND count(DISTINCT d.value ->> 'sha256') > 1 ORDER BY 1, 2 LIMIT 1
"""
"""
What a family is made of; `deliveries` are the elements of the JSON array `r.output`, each as `d.value`, `bytewise` is the collation that
compares bytes.
"""


def family(
    counts: Iterable[tuple[str, str, bool, int, int]],
    troubled: Iterable[tuple[str, str, str]],
    outputs: Iterable[tuple[str]],
    clashes: Iterable[tuple[str, str, str, str]],
) -> Family:
    """The rows of COUNTS, TROUBLED, OUTPUTS and CLASH in words."""
    found: Counter[str] = Counter()
    for state, status, has_error, n, effects in counts:
        end = _end((State(state), Status(status)))
        found[end] += n
        found["delivered"] += effects
        if end == "transferred" and has_error:
            found["incomplete"] += n
    delivered: list[Delivered] = []
    for (output,) in outputs:
        delivered += row.to_delivered(orjson.loads(output))
    troubles = tuple((_who(input), Status(status), error) for input, status, error in troubled)
    ends = found["pending"], found["transferred"], found["failed"], found["quarantined"], found["incomplete"]
    clash = next((Clash(where, key, _who(one), _who(other)) for where, key, one, other in clashes), None)
    named = tuple(delivered[:MANY])
    return Family(*ends, troubles, named, clash, found["delivered"] - len(named))


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


RECORD = """
SELECT r.id, r.parent, r.input, r.size, r.state, r.status, r.tries + r.crashes, r.error, r.waits, r.due, r.owner, v.revision,
  f.file_id, f.key, f.customer, f.at
FROM run r JOIN file f ON f.file_id = r.file LEFT JOIN revision v ON v.n = r.revision
"""
"""The columns of a child's record: `r` is its run, `f` the file, `v` the revision."""

CHILDREN = f"{RECORD} WHERE r.parent = ? AND r.id > ? ORDER BY r.id LIMIT ?"
ONE = f"{RECORD} WHERE r.id BETWEEN ? AND ? AND r.file IS NOT NULL LIMIT 2"

UNSETTLED = f"{RECORD} WHERE r.status <> 'transferred' AND r.file IS NOT NULL"
"""The condition of index run_unsettled, word for word."""

AFTER = """
(r.at, r.file, r.id) < (SELECT at, coalesce(file, id), CASE WHEN file IS NULL THEN '~' ELSE id END FROM run WHERE id = ?)
"""
"""What comes after a run: a file's own is before those below it, whose ids are all less than '~'."""

NEWEST_FIRST = " ORDER BY r.at DESC, r.file DESC, r.id DESC LIMIT ?"


def unsettled(filter: Filter, state: State | None, limit: int, after: str, **dialect: str) -> tuple[str, list[Any]]:
    """The statement for a page of child runs: led by the index run_unsettled; `dialect` as for `record.conditions`."""
    if not is_led_by_status(filter):
        raise ValueError("child runs are found by a status, other than transferred")
    wanted = [*conditions(rest(filter, after), "r.at", **dialect)]
    if state:
        wanted.append(("r.state = ?", [state]))
    if after:
        wanted.append((AFTER, [after]))
    sql = UNSETTLED + "".join(f" AND {condition}" for condition, _ in wanted) + NEWEST_FIRST
    given = (value for _, values in wanted for value in values)
    return sql, [*(str(value) if isinstance(value, StrEnum) else value for value in given), limit]


def record(found: tuple[Any, ...]) -> ChildRecord:
    """The record of a row with the columns RECORD."""
    id, parent, input, size, state, status, attempts, error, waits, due, owner, revision, *file = found
    file_id, key, customer, at = file
    made = orjson.loads(input)
    return ChildRecord(
        id=id,
        parent=parent,
        pipeline=made["pipeline"],
        step=made["step"],
        member=made["member"],
        size=size,
        state=State(state),
        status=Status(status),
        attempts=attempts,
        error_message=error,
        waits=waits,
        due=row.seconds(due),
        owner=owner or "",
        revision=revision or "",
        file_id=file_id,
        key=key,
        customer_id=customer,
        upload_timestamp=at / 1_000_000,
    )
