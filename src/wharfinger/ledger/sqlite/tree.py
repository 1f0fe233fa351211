"""Where an arrival is placed in the customers' tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw

from wharfinger.ledger.sqlite.connection import insert
from wharfinger.ledger.tree import directories, split
from wharfinger.model import Arrival

_ARRIVE = """
ON CONFLICT DO UPDATE SET shown = excluded.shown, file_id = excluded.file_id, mtime = NULL,
  staged = NULL, user = NULL, size = NULL, written = NULL
WHERE (name.file_id IS NOT NULL OR name.staged IS NOT NULL)
  AND (SELECT version FROM file WHERE file_id = excluded.file_id)
    > coalesce((SELECT version FROM file WHERE file_id = name.file_id), '')
"""


def place(tx: apsw.Connection, arrivals: Sequence[Arrival], now_us: int) -> None:
    """Show these files under their keys, unless what is there is newer, or a directory."""
    if not arrivals:
        return
    add_parents(tx, [a.key for a in arrivals], now_us)
    insert(tx, "name(parent, name, shown, file_id)", [(*split(a.key), a.file_id) for a in arrivals], conflict=_ARRIVE)


def add_parents(tx: apsw.Connection, paths: Iterable[str], now_us: int) -> None:
    """Add the directories above these paths that are missing."""
    rows = [(*split(path), now_us) for path in directories(paths)]
    insert(tx, "name(parent, name, shown, mtime)", rows, conflict="ON CONFLICT DO NOTHING")
