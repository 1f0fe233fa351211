"""The rows of the customers' tree: how paths are compared, and where an arrival is placed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw

from wharfinger.ledger.sqlite.connection import insert
from wharfinger.model import Arrival
from wharfinger.names import nfc

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
    above = {path.rpartition("/")[0] for path in paths}
    missing: dict[str, None] = {}
    while above := {path for path in above if path and path not in missing}:
        missing.update(dict.fromkeys(above))
        above = {path.rpartition("/")[0] for path in above}
    rows = [(*split(path), now_us) for path in missing]
    insert(tx, "name(parent, name, shown, mtime)", rows, conflict="ON CONFLICT DO NOTHING")


def split(path: str) -> tuple[str, str, str | None]:
    """The key (parent, name) under which `path` is kept, and its name as sent where that differs."""
    parent, _, name = path.rpartition("/")
    folded = nfc(name)
    return nfc(parent), folded, None if folded == name else name
