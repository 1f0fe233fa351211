"""Where an arrival is placed in the customers' tree, and who may change the tree meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wharfinger.ledger.postgres.connection import Transaction, columns, locked, shared
from wharfinger.ledger.tree import directories, split
from wharfinger.model import Arrival
from wharfinger.names import nfc

_ADD = """
INSERT INTO name(parent, name, shown, mtime)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) ON CONFLICT DO NOTHING
"""

_ARRIVE = """
INSERT INTO name(parent, name, shown, file_id) SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])
ON CONFLICT (parent, name) DO UPDATE SET shown = excluded.shown, file_id = excluded.file_id, mtime = NULL,
  staged = NULL, "user" = NULL, size = NULL, written = NULL
WHERE (name.file_id IS NOT NULL OR name.staged IS NOT NULL)
  AND (SELECT version FROM file WHERE file_id = excluded.file_id)
    > coalesce((SELECT version FROM file WHERE file_id = name.file_id), '')
"""


def share(tx: Transaction, paths: Iterable[str]) -> None:
    """Let nobody `own` these parts of the tree: files may arrive in them from several sides."""
    shared(tx, *_tops(paths))


def own(tx: Transaction, paths: Iterable[str]) -> None:
    """Let nobody else change these parts of the tree (all that lies in the same directory of the root)."""
    locked(tx, *_tops(paths))


def place(tx: Transaction, arrivals: Sequence[Arrival], now_us: int) -> None:
    """Show these files under their keys, unless what is there is newer, or a directory."""
    if not arrivals:
        return
    add_parents(tx, [a.key for a in arrivals], now_us)
    newest: dict[tuple[str, str], tuple[str | None, str]] = {}
    for a in sorted(arrivals, key=lambda a: a.version):
        parent, name, shown = split(a.key)
        newest[parent, name] = shown, a.file_id
    tx.execute(_ARRIVE, columns([(*where, *what) for where, what in sorted(newest.items())]))


def add_parents(tx: Transaction, paths: Iterable[str], now_us: int) -> None:
    """Add the directories above these paths that are missing."""
    found = {split(path)[:2]: split(path)[2] for path in directories(paths)}
    if found:
        tx.execute(_ADD, columns([(*where, shown, now_us) for where, shown in sorted(found.items())]))


def _tops(paths: Iterable[str]) -> set[str]:
    return {f"tree/{nfc(path.partition('/')[0])}" for path in paths}
