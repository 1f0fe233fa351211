"""The child runs of a file, as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wharfinger.cli.show import Column, heading, listing, say
from wharfinger.cli.words import many
from wharfinger.ledger import MANY, Catalog
from wharfinger.model import ChildRecord, State

SHOWN = 40
"""Most child runs that a terminal shows; those that are dead come before others."""

COLUMNS = (
    Column("run", "Run"),
    Column("status", "Status"),
    Column("attempts", "Tries", right=True),
    Column("what", "Pipeline", folds=True),
    Column("error", "", folds=True),
)


@dataclass(frozen=True, slots=True)
class Node:
    """A child run; `depth` is 1 for those that the file's own run has called."""

    depth: int
    record: ChildRecord


def tree(catalog: Catalog, run: str, depth: int = 1) -> Iterator[Node]:
    """All that this run has called, each followed by what it has called itself."""
    after = ""
    while page := catalog.children(run, limit=MANY, after=after):
        for record in page:
            yield Node(depth, record)
            yield from tree(catalog, record.id, depth + 1)
        after = page[-1].id


def show(nodes: Sequence[Node]) -> None:
    """Print the tree; of a large one the dead, and as many others as there is room for."""
    if not nodes:
        return
    heading(f"{many(len(nodes), 'child run')}")
    chosen = {*sorted(range(len(nodes)), key=lambda n: (nodes[n].record.state is not State.DEAD, n))[:SHOWN]}
    listing((_row(node) for n, node in enumerate(nodes) if n in chosen), COLUMNS, json=False)
    if len(chosen) < len(nodes):
        say(f"and {many(len(nodes) - len(chosen), 'other')}: wharf --json file ID has all")


def _row(node: Node) -> dict[str, object]:
    record = node.record
    by = f" by {record.step}" if record.step != record.pipeline else ""
    of = f" of {record.member}" if record.member else ""
    return {
        "run": f"{'  ' * (node.depth - 1)}{record.id}",
        "status": str(record.status),
        "attempts": record.attempts,
        "what": f"{record.pipeline}{by}{of}",
        "error": record.error_message,
    }
