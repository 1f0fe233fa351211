"""The reading side on Postgres."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from wharfinger.ledger import SHORTEST_PREFIX, Counts, Filter, child
from wharfinger.ledger.figure import counts
from wharfinger.ledger.group import IS_HOLDER
from wharfinger.ledger.postgres import figure, history
from wharfinger.ledger.postgres.connection import Connections, first, rows
from wharfinger.ledger.record import COLUMNS, NEWEST, OLDEST, conditions, is_led_by_status, record, rest
from wharfinger.model import ChildRecord, Event, FileRecord, State

_BY_TIME = "FROM file f JOIN run r ON r.id = f.file_id LEFT JOIN revision v ON v.n = r.revision"
_BY_RUN = "FROM run r JOIN file f ON f.file_id = r.id LEFT JOIN revision v ON v.n = r.revision"
_BY_STATUS = f"{_BY_RUN} WHERE r.status <> 'transferred'"  # the condition of index run_status, word for word


class PostgresCatalog:
    """See Catalog."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def file(self, file_id: str) -> FileRecord | None:
        """See Catalog."""
        until = file_id + "\U0010ffff" if len(file_id) >= SHORTEST_PREFIX else file_id
        sql = f"{COLUMNS} {_BY_TIME} WHERE f.file_id BETWEEN %s AND %s LIMIT 2"
        found = self._connections.read(lambda db: rows(db, sql, file_id, until))
        return record(found[0]) if len(found) == 1 else None

    def files(self, filter: Filter, *, limit: int = 100, after: str = "") -> list[FileRecord]:
        """See Catalog."""
        sql, values = query(filter, limit, after)
        return [record(r) for r in self._connections.read(lambda db: rows(db, sql, *values))]

    def events(self, file_id: str) -> list[Event]:
        """See Catalog."""
        return self._connections.snapshot(lambda db: history.read(db, file_id))

    def holders(self, *, limit: int = 20) -> list[FileRecord]:
        """See Catalog."""
        sql = f"{COLUMNS} {_BY_RUN} WHERE {IS_HOLDER} ORDER BY r.grp, r.turn LIMIT %s"
        return [record(r) for r in self._connections.read(lambda db: rows(db, sql, limit))]

    def children(self, run: str, *, limit: int = 100, after: str = "") -> list[ChildRecord]:
        """See Catalog."""
        sql = child.CHILDREN.replace("?", "%s")
        return [child.record(r) for r in self._connections.read(lambda db: rows(db, sql, run, after, limit))]

    def child(self, id: str) -> ChildRecord | None:
        """See Catalog."""
        until = id + "\U0010ffff" if len(id) >= SHORTEST_PREFIX else id
        found = self._connections.read(lambda db: rows(db, child.ONE.replace("?", "%s"), id, until))
        return child.record(found[0]) if len(found) == 1 else None

    def unsettled(
        self, filter: Filter, *, state: State | None = None, limit: int = 100, after: str = ""
    ) -> list[ChildRecord]:
        """See Catalog."""
        filter = replace(filter, name=pattern(filter.name))
        sql, values = child.unsettled(filter, state, limit, after, name="f.key ~ ?", error="strpos(r.error, ?) > 0")
        return [child.record(r) for r in self._connections.read(lambda db: rows(db, sql.replace("?", "%s"), *values))]

    def counts(self) -> Counts:
        """See Catalog."""

        return self._connections.snapshot(lambda db: counts(figure.read(db), first(db, OLDEST)))

    def newest_version(self) -> str:
        """See Catalog."""
        version: str | None = self._connections.read(lambda db: first(db, NEWEST))[0]
        return version or ""

    def revision(self, revision: str) -> str | None:
        """See Catalog."""
        sql = "SELECT document FROM revision WHERE revision = %s AND document IS NOT NULL LIMIT 1"
        found = self._connections.read(lambda db: first(db, sql, revision))
        return found[0] if found else None


def query(filter: Filter, limit: int, after: str) -> tuple[str, list[Any]]:
    """The statement for a page of files: led by the index on status where few have that status, else by time."""
    if is_led_by_status(filter):
        lead, at, id = _BY_STATUS, "r.at", "r.id"
    else:
        lead, at, id = f"{_BY_TIME} WHERE true", "f.at", "f.file_id"
    filter = replace(rest(filter, after), name=pattern(filter.name))
    wanted = [*conditions(filter, at, not filter.is_own, name="f.key ~ ?", error="strpos(r.error, ?) > 0")]
    if after:
        wanted.append((f"({at}, {id}) < (SELECT at, file_id FROM file WHERE file_id = ?)", [after]))
    where = (" AND f.purged IS NULL" if filter.is_kept else "") + "".join(
        f" AND {condition.replace('?', '%s')}" for condition, _ in wanted
    )
    sql = f"{COLUMNS} {lead}{where} ORDER BY {at} DESC, {id} DESC LIMIT %s"
    return sql, [*(value for _, values in wanted for value in values), limit]


def pattern(glob: str) -> str:
    """The regular expression of Postgres that matches what `glob` does on SQLite: `*`, `?`, `[abc]`, `[^a-z]`; "" for none."""
    parts = re.findall(r"\[\^?\]?[^]]*\]|.", glob, re.DOTALL)
    return f"^(?:{''.join(map(_part, parts))})$" if glob else ""


def _part(part: str) -> str:
    if part in ("*", "?"):
        return ".*" if part == "*" else "."
    if len(part) == 1:
        return re.sub(r"(\W)", r"\\\1", part)
    negated = "^" if part[1] == "^" else ""
    return f"[{negated}{part[1 + len(negated) : -1].replace(chr(92), chr(92) * 2)}]"
