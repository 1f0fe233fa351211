"""The customers' tree: how paths are compared, and its rows as entries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from wharfinger.ledger import Entry
from wharfinger.names import nfc

ROOT = Entry("", "dir")

ENTRY = """
SELECT coalesce(n.shown, n.name), n.parent, n.mtime, n.staged, n."user", n.size, n.written, f.file_id, f.version, f.sha256,
  f.size, coalesce(f.mtime, f.at)
FROM name n LEFT JOIN file f ON f.file_id = n.file_id
"""
"""The columns of an entry, from the names and what lies under them."""


def entry(parent: str, row: tuple[Any, ...]) -> Entry:
    """The entry of a row of ENTRY in the directory `parent`."""
    shown, _, mtime, staged, user, written_size, written, file_id, version, digest, size, file_mtime = row
    path = f"{parent}/{shown}" if parent else shown
    if staged is not None:
        beneath = {"version": version, "sha256": digest.hex(), "file_id": file_id} if file_id else {}
        return Entry(path, "partial", written_size, written / 1_000_000, **beneath, staged=staged, user=user)
    if file_id is not None:
        at = file_mtime if mtime is None else mtime
        return Entry(path, "file", size, at / 1_000_000, version, digest.hex(), file_id)
    return Entry(path, "dir", mtime=(mtime or 0) / 1_000_000)


def split(path: str) -> tuple[str, str, str | None]:
    """The key (parent, name) under which `path` is kept, and its name as sent where that differs."""
    parent, _, name = path.rpartition("/")
    folded = nfc(name)
    return nfc(parent), folded, None if folded == name else name


def directories(paths: Iterable[str]) -> list[str]:
    """The directories above these paths."""
    above = {path.rpartition("/")[0] for path in paths}
    found: dict[str, None] = {}
    while above := {path for path in above if path and path not in found}:
        found.update(dict.fromkeys(above))
        above = {path.rpartition("/")[0] for path in above}
    return [*found]
