"""The customers' tree on Postgres: a flat table of names, so that a look is one search and a listing one range."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from wharfinger.ledger import MOST_MOVED, Entry, Renamed, row
from wharfinger.ledger.history import Told
from wharfinger.ledger.postgres import history
from wharfinger.ledger.postgres.connection import Connections, Transaction, columns, first, rows
from wharfinger.ledger.postgres.tree import add_parents, own
from wharfinger.ledger.tree import ENTRY, ROOT, split
from wharfinger.ledger.tree import entry as entry_of
from wharfinger.names import nfc

_LOOK = f"{ENTRY} WHERE (n.parent, n.name) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"

_KIND = """
SELECT CASE WHEN staged IS NOT NULL THEN 'partial' WHEN file_id IS NOT NULL THEN 'file' ELSE 'dir' END, file_id
FROM name WHERE parent = %s AND name = %s
"""

_MAKE = "INSERT INTO name(parent, name, shown, mtime) VALUES (%s, %s, %s, %s)"

_KEEP_PARTIAL = """
INSERT INTO name(parent, name, shown, staged, "user", size, written) VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (parent, name) DO UPDATE
SET staged = excluded.staged, "user" = excluded."user", size = excluded.size, written = excluded.written
"""

_UNCOVER = """
UPDATE name SET staged = NULL, "user" = NULL, size = NULL, written = NULL WHERE parent = %s AND name = %s
"""

_BELOW = "parent >= %(top)s AND parent < %(top)s || '0' AND (parent = %(top)s OR parent > %(top)s || '/')"  # 0 follows / in ASCII
_TOO_MANY_BELOW = f"SELECT 1 FROM name WHERE {_BELOW} LIMIT 1 OFFSET {MOST_MOVED}"
_FILES_BELOW = f"SELECT file_id, parent || '/' || name FROM name WHERE file_id IS NOT NULL AND {_BELOW}"
_MOVE_BELOW = f"UPDATE name SET parent = %(to)s || substr(parent, length(%(top)s) + 1) WHERE {_BELOW}"


class PostgresNamespace:
    """See Namespace. The root, "", is always there."""

    def __init__(self, connections: Connections, clock: Callable[[], float]) -> None:
        self._connections = connections
        self._clock = clock

    def look(self, paths: Sequence[str]) -> list[Entry | None]:
        """See Namespace."""
        keys = [split(path)[:2] for path in paths]
        wanted = columns(sorted({*keys}))
        found = self._connections.read(lambda db: rows(db, _LOOK, *wanted)) if wanted else []
        there = {(r[1], nfc(r[0])): r for r in found}
        return [
            ROOT if not path else entry_of(path.rpartition("/")[0], there[key]) if key in there else None
            for path, key in zip(paths, keys)
        ]

    def children(self, path: str, *, limit: int = 1000, after: str = "") -> list[Entry]:
        """See Namespace."""
        sql = f"{ENTRY} WHERE n.parent = %s AND n.name > %s ORDER BY n.name LIMIT %s"
        found = self._connections.read(lambda db: rows(db, sql, nfc(path), nfc(after), limit))
        return [entry_of(path, r) for r in found]

    def make(self, entries: Sequence[Entry]) -> list[bool]:
        """See Namespace. Raises ValueError for a file: those arrive."""
        if any(entry.kind == "file" for entry in entries):
            raise ValueError("files enter the tree by Ledger.arrive")

        def work(tx: Transaction) -> list[bool]:
            own(tx, [entry.path for entry in entries])
            now = self._now()
            return [_make(tx, entry, now) for entry in entries]

        return self._connections.write(work)

    def touch(self, path: str, mtime: float) -> bool:
        """See Namespace. A partial keeps the time at which it was last written."""
        sql = "UPDATE name SET mtime = %s WHERE parent = %s AND name = %s RETURNING name"
        values = row.micros(mtime), *split(path)[:2]
        return self._connections.write(lambda tx: first(tx, sql, *values)) is not None

    def rename(self, old: str, new: str, *, replace: bool = False) -> Renamed:
        """See Namespace. A directory does not fit below itself (no_parent), and neither replaces nor is replaced (taken)."""

        def work(tx: Transaction) -> Renamed:
            own(tx, [old, new])
            there, in_the_way = _kind(tx, old), _kind(tx, new)
            if there is None or not old:
                return "missing"
            if not _has_parent(tx, new) or nfc(new).startswith(f"{nfc(old)}/"):
                return "no_parent"
            if there[0] == "dir" and tx.execute(_TOO_MANY_BELOW, {"top": nfc(old)}).fetchone():
                return "too_many"
            if in_the_way and nfc(old) != nfc(new):
                if not replace or "dir" in (there[0], in_the_way[0]):
                    return "taken"
                self._remove(tx, new, in_the_way[1], {"path": new, "replaced_by": old})
            self._move(tx, old, new, there)
            return "done"

        return self._connections.write(work)

    def remove(self, path: str) -> Literal["done", "missing", "not_empty"]:
        """See Namespace. Removing a partial brings back the file that it covered."""

        def work(tx: Transaction) -> Literal["done", "missing", "not_empty"]:
            own(tx, [path])
            there = _kind(tx, path)
            if there is None:
                return "missing"
            kind, file_id = there
            if kind == "dir" and (not path or _has_children(tx, path)):
                return "not_empty"
            if kind == "partial" and file_id:
                tx.execute(_UNCOVER, split(path)[:2])
            else:
                self._remove(tx, path, file_id, {"path": path})
            return "done"

        return self._connections.write(work)

    def partials(self, *, before: float) -> Iterator[Entry]:
        """See Namespace."""
        sql = f"{ENTRY} WHERE n.staged IS NOT NULL AND n.written < %s ORDER BY n.written"
        found = self._connections.read(lambda db: rows(db, sql, row.micros(before)))
        return (entry_of(r[1], r) for r in found)

    def _move(self, tx: Transaction, old: str, new: str, there: tuple[str, str | None]) -> None:
        kind, file_id = there
        told = [Told(file_id, "renamed", {"from": old, "to": new})] if file_id else []
        tx.execute(
            "UPDATE name SET parent = %s, name = %s, shown = %s WHERE parent = %s AND name = %s",
            (*split(new), *split(old)[:2]),
        )
        if kind == "dir":
            where = {"top": nfc(old), "to": nfc(new)}
            below = tx.execute(_FILES_BELOW, where).fetchall()
            told = [Told(id, "renamed", {"from": path, "to": nfc(new) + path[len(nfc(old)) :]}) for id, path in below]
            tx.execute(_MOVE_BELOW, where)
        history.tell(tx, self._now(), told)

    def _remove(self, tx: Transaction, path: str, file_id: str | None, how: dict[str, Any]) -> None:
        tx.execute("DELETE FROM name WHERE parent = %s AND name = %s", split(path)[:2])
        if file_id:
            history.tell(tx, self._now(), [Told(file_id, "removed", how)])

    def _now(self) -> int:
        return row.micros(self._clock())


def _make(tx: Transaction, entry: Entry, now_us: int) -> bool:
    there = _kind(tx, entry.path)
    if (there is not None and (entry.kind == "dir" or there[0] == "dir")) or not _fits(tx, entry.path):
        return False
    add_parents(tx, [entry.path], now_us)
    at = row.micros(entry.mtime) or now_us
    if entry.kind == "dir":
        tx.execute(_MAKE, (*split(entry.path), at))
    else:
        tx.execute(_KEEP_PARTIAL, (*split(entry.path), entry.staged, entry.user, entry.size, at))
    return True


def _kind(db: Transaction, path: str) -> tuple[str, str | None] | None:
    """What lies there, and the file (for a partial: beneath it)."""
    if not path:
        return "dir", None
    found: tuple[str, str | None] | None = first(db, _KIND, *split(path)[:2])
    return found


def _fits(db: Transaction, path: str) -> bool:
    """Whether all that there is above is directories."""
    above = path.rpartition("/")[0]
    there = _kind(db, above)
    return _fits(db, above) if there is None else there[0] == "dir"


def _has_parent(db: Transaction, path: str) -> bool:
    there = _kind(db, path.rpartition("/")[0])
    return there is not None and there[0] == "dir"


def _has_children(db: Transaction, path: str) -> bool:
    return first(db, "SELECT 1 FROM name WHERE parent = %s LIMIT 1", nfc(path)) is not None
