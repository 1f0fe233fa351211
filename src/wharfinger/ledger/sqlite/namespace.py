"""The customers' tree on SQLite: a flat table of names, so that a look is one search and a listing one range."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import apsw

from wharfinger.ledger import MOST_MOVED, Entry, Renamed, row
from wharfinger.ledger.history import Told
from wharfinger.ledger.sqlite import history
from wharfinger.ledger.sqlite.connection import Connections, first, rows
from wharfinger.ledger.sqlite.tree import add_parents
from wharfinger.ledger.tree import ENTRY, ROOT, split
from wharfinger.ledger.tree import entry as entry_of
from wharfinger.names import nfc

_KIND = """
SELECT CASE WHEN staged IS NOT NULL THEN 'partial' WHEN file_id IS NOT NULL THEN 'file' ELSE 'dir' END, file_id
FROM name WHERE parent = ? AND name = ?
"""

_KEEP_PARTIAL = """
INSERT INTO name(parent, name, shown, staged, user, size, written) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET staged = excluded.staged, user = excluded.user, size = excluded.size, written = excluded.written
"""

_UNCOVER = "UPDATE name SET staged = NULL, user = NULL, size = NULL, written = NULL WHERE parent = ? AND name = ?"

_BELOW = "parent = ?1 OR parent > ?1 || '/' AND parent < ?1 || '0'"  # 0 follows / in ASCII
_TOO_MANY_BELOW = f"SELECT 1 FROM name WHERE {_BELOW} LIMIT 1 OFFSET {MOST_MOVED}"
_FILES_BELOW = f"SELECT file_id, parent || '/' || name FROM name WHERE file_id IS NOT NULL AND ({_BELOW})"
_MOVE_BELOW = f"UPDATE name SET parent = ?2 || substr(parent, length(?1) + 1) WHERE {_BELOW}"


class SqliteNamespace:
    """See Namespace. The root, "", is always there."""

    def __init__(self, connections: Connections, clock: Callable[[], float]) -> None:
        self._connections = connections
        self._clock = clock

    def look(self, paths: Sequence[str]) -> list[Entry | None]:
        """See Namespace."""
        with self._connections.reading() as db:
            return [_look(db, path) for path in paths]

    def children(self, path: str, *, limit: int = 1000, after: str = "") -> list[Entry]:
        """See Namespace."""
        sql = f"{ENTRY} WHERE n.parent = ? AND n.name > ? ORDER BY n.name LIMIT ?"
        with self._connections.reading() as db:
            return [entry_of(path, r) for r in rows(db, sql, nfc(path), nfc(after), limit)]

    def make(self, entries: Sequence[Entry]) -> list[bool]:
        """See Namespace. Raises ValueError for a file: those arrive."""
        if any(entry.kind == "file" for entry in entries):
            raise ValueError("files enter the tree by Ledger.arrive")
        with self._connections.writing() as tx:
            now = self._now()
            return [_make(tx, entry, now) for entry in entries]

    def touch(self, path: str, mtime: float) -> bool:
        """See Namespace. A partial keeps the time at which it was last written."""
        parent, name, _ = split(path)
        with self._connections.writing() as tx:
            tx.execute("UPDATE name SET mtime = ? WHERE parent = ? AND name = ?", (row.micros(mtime), parent, name))
            return tx.changes() > 0

    def rename(self, old: str, new: str, *, replace: bool = False) -> Renamed:
        """See Namespace. A directory does not fit below itself (no_parent), and neither replaces nor is replaced (taken)."""
        with self._connections.writing() as tx:
            there, in_the_way = _kind(tx, old), _kind(tx, new)
            if there is None or not old:
                return "missing"
            if not _has_parent(tx, new) or nfc(new).startswith(f"{nfc(old)}/"):
                return "no_parent"
            if there[0] == "dir" and first(tx, _TOO_MANY_BELOW, nfc(old)):
                return "too_many"
            if in_the_way and nfc(old) != nfc(new):
                if not replace or "dir" in (there[0], in_the_way[0]):
                    return "taken"
                self._remove(tx, new, in_the_way[1], {"path": new, "replaced_by": old})
            self._move(tx, old, new, there)
        return "done"

    def remove(self, path: str) -> Literal["done", "missing", "not_empty"]:
        """See Namespace. Removing a partial brings back the file that it covered."""
        parent, name, _ = split(path)
        with self._connections.writing() as tx:
            there = _kind(tx, path)
            if there is None:
                return "missing"
            kind, file_id = there
            if kind == "dir" and (not path or _has_children(tx, path)):
                return "not_empty"
            if kind == "partial" and file_id:
                tx.execute(_UNCOVER, (parent, name))
            else:
                self._remove(tx, path, file_id, {"path": path})
        return "done"

    def partials(self, *, before: float) -> Iterator[Entry]:
        """See Namespace."""
        sql = f"{ENTRY} WHERE n.staged IS NOT NULL AND n.written < ? ORDER BY n.written"
        with self._connections.reading() as db:
            found = rows(db, sql, row.micros(before))
        return (entry_of(r[1], r) for r in found)

    def _move(self, tx: apsw.Connection, old: str, new: str, there: tuple[str, str | None]) -> None:
        kind, file_id = there
        told = [Told(file_id, "renamed", {"from": old, "to": new})] if file_id else []
        tx.execute(
            "UPDATE name SET parent = ?, name = ?, shown = ? WHERE parent = ? AND name = ?",
            (*split(new), *split(old)[:2]),
        )
        if kind == "dir":
            below = rows(tx, _FILES_BELOW, nfc(old))
            told = [Told(id, "renamed", {"from": path, "to": nfc(new) + path[len(nfc(old)) :]}) for id, path in below]
            tx.execute(_MOVE_BELOW, (nfc(old), nfc(new)))
        history.append(tx, self._now(), told)

    def _remove(self, tx: apsw.Connection, path: str, file_id: str | None, how: dict[str, Any]) -> None:
        tx.execute("DELETE FROM name WHERE parent = ? AND name = ?", split(path)[:2])
        if file_id:
            history.append(tx, self._now(), [Told(file_id, "removed", how)])

    def _now(self) -> int:
        return row.micros(self._clock())


def _look(db: apsw.Connection, path: str) -> Entry | None:
    if not path:
        return ROOT
    parent, name, _ = split(path)
    found = first(db, f"{ENTRY} WHERE n.parent = ? AND n.name = ?", parent, name)
    return found and entry_of(path.rpartition("/")[0], found)


def _make(tx: apsw.Connection, entry: Entry, now_us: int) -> bool:
    there = _kind(tx, entry.path)
    if (there is not None and (entry.kind == "dir" or there[0] == "dir")) or not _fits(tx, entry.path):
        return False
    add_parents(tx, [entry.path], now_us)
    at = row.micros(entry.mtime) or now_us
    if entry.kind == "dir":
        tx.execute("INSERT INTO name(parent, name, shown, mtime) VALUES (?, ?, ?, ?)", (*split(entry.path), at))
    else:
        tx.execute(_KEEP_PARTIAL, (*split(entry.path), entry.staged, entry.user, entry.size, at))
    return True


def _kind(db: apsw.Connection, path: str) -> tuple[str, str | None] | None:
    """What lies there, and the file (for a partial: beneath it)."""
    if not path:
        return "dir", None
    found: tuple[str, str | None] | None = first(db, _KIND, *split(path)[:2])
    return found


def _fits(db: apsw.Connection, path: str) -> bool:
    """Whether all that there is above is directories."""
    above = path.rpartition("/")[0]
    there = _kind(db, above)
    return _fits(db, above) if there is None else there[0] == "dir"


def _has_parent(db: apsw.Connection, path: str) -> bool:
    there = _kind(db, path.rpartition("/")[0])
    return there is not None and there[0] == "dir"


def _has_children(db: apsw.Connection, path: str) -> bool:
    return first(db, "SELECT 1 FROM name WHERE parent = ? LIMIT 1", nfc(path)) is not None
