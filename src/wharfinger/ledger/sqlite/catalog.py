"""The reading side on SQLite."""

from __future__ import annotations

from typing import Any

from wharfinger.ledger import SHORTEST_PREFIX, Counts, Filter, child
from wharfinger.ledger.figure import counts
from wharfinger.ledger.group import IS_HOLDER
from wharfinger.ledger.record import COLUMNS, NEWEST, OLDEST, conditions, is_led_by_status, record, rest
from wharfinger.ledger.sqlite import figure, history
from wharfinger.ledger.sqlite.connection import Connections, first, rows
from wharfinger.model import ChildRecord, Event, FileRecord, State

_BY_TIME = "FROM file f CROSS JOIN run r ON r.id = f.file_id LEFT JOIN revision v ON v.n = r.revision"
_BY_RUN = "FROM run r CROSS JOIN file f ON f.file_id = r.id LEFT JOIN revision v ON v.n = r.revision"
_BY_STATUS = f"{_BY_RUN} WHERE r.status <> 'transferred'"  # the condition of index run_status, word for word


class SqliteCatalog:
    """See Catalog."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def file(self, file_id: str) -> FileRecord | None:
        """See Catalog."""
        until = file_id + "\U0010ffff" if len(file_id) >= SHORTEST_PREFIX else file_id
        sql = f"{COLUMNS} {_BY_TIME} WHERE f.file_id BETWEEN ? AND ? LIMIT 2"
        with self._connections.reading() as db:
            found = rows(db, sql, file_id, until)
        return record(found[0]) if len(found) == 1 else None

    def files(self, filter: Filter, *, limit: int = 100, after: str = "") -> list[FileRecord]:
        """See Catalog."""
        sql, values = query(filter, limit, after)
        with self._connections.reading() as db:
            return [record(r) for r in rows(db, sql, *values)]

    def events(self, file_id: str) -> list[Event]:
        """See Catalog."""
        with self._connections.snapshot() as db:
            return history.read(db, file_id)

    def holders(self, *, limit: int = 20) -> list[FileRecord]:
        """See Catalog."""
        sql = f"{COLUMNS} {_BY_RUN} WHERE {IS_HOLDER} ORDER BY r.grp, r.turn LIMIT ?"
        with self._connections.reading() as db:
            return [record(r) for r in rows(db, sql, limit)]

    def children(self, run: str, *, limit: int = 100, after: str = "") -> list[ChildRecord]:
        """See Catalog."""
        with self._connections.reading() as db:
            return [child.record(r) for r in rows(db, child.CHILDREN, run, after, limit)]

    def child(self, id: str) -> ChildRecord | None:
        """See Catalog."""
        until = id + "\U0010ffff" if len(id) >= SHORTEST_PREFIX else id
        with self._connections.reading() as db:
            found = rows(db, child.ONE, id, until)
        return child.record(found[0]) if len(found) == 1 else None

    def unsettled(
        self, filter: Filter, *, state: State | None = None, limit: int = 100, after: str = ""
    ) -> list[ChildRecord]:
        """See Catalog."""
        sql, values = unsettled(filter, state, limit, after)
        with self._connections.reading() as db:
            return [child.record(r) for r in rows(db, sql, *values)]

    def counts(self) -> Counts:
        """See Catalog."""
        with self._connections.snapshot() as db:
            return counts(figure.read(db), first(db, OLDEST))

    def newest_version(self) -> str:
        """See Catalog."""
        with self._connections.reading() as db:
            (version,) = first(db, NEWEST)
        return version or ""

    def revision(self, revision: str) -> str | None:
        """See Catalog."""
        sql = "SELECT document FROM revision WHERE revision = ? AND document IS NOT NULL LIMIT 1"
        with self._connections.reading() as db:
            found = first(db, sql, revision)
        return found[0] if found else None


def query(filter: Filter, limit: int, after: str) -> tuple[str, list[Any]]:
    """The statement for a page of files: led by the index on status where few have that status, else by time."""
    if is_led_by_status(filter):
        lead, at, id = _BY_STATUS, "r.at", "r.id"
    else:
        lead, at, id = f"{_BY_TIME} WHERE true", "f.at", "f.file_id"
    wanted = [*conditions(rest(filter, after), at, not filter.is_own, name="f.key GLOB ?", error="instr(r.error, ?)")]
    if after:
        wanted.append((f"({at}, {id}) < (SELECT at, file_id FROM file WHERE file_id = ?)", [after]))
    where = (" AND f.purged IS NULL" if filter.is_kept else "") + "".join(
        f" AND {condition}" for condition, _ in wanted
    )
    return f"{COLUMNS} {lead}{where} ORDER BY {at} DESC, {id} DESC LIMIT ?", [
        *(value for _, values in wanted for value in values),
        limit,
    ]


def unsettled(filter: Filter, state: State | None, limit: int, after: str) -> tuple[str, list[Any]]:
    """The statement for a page of child runs, led by their index whatever the planner thinks of `file`."""
    sql, values = child.unsettled(filter, state, limit, after, name="f.key GLOB ?", error="instr(r.error, ?)")
    return sql.replace("JOIN file", "CROSS JOIN file"), values
