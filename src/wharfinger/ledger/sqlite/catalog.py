"""The reading side on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from wharfinger.ledger import SHORTEST_PREFIX, Counts, Filter
from wharfinger.ledger.sqlite import figure, history, row
from wharfinger.ledger.sqlite.connection import Connections, first, rows
from wharfinger.model import Event, FileRecord, State, Status

_COLUMNS = """
SELECT f.file_id, f.bucket, f.key, f.customer, f.at, r.transferred, r.status, r.error, f.version, f.size, f.sha256,
  r.tries + r.crashes, v.pipeline, v.revision, f.media_type, f.source, f.user, r.state, r.due, r.owner,
  (SELECT data FROM event WHERE file_id = f.file_id AND kind IN ('transferred', 'failed', 'quarantined')
   ORDER BY n DESC LIMIT 1)
"""

_BY_TIME = "FROM file f CROSS JOIN run r ON r.id = f.file_id LEFT JOIN revision v ON v.n = r.revision"
_BY_STATUS = (
    "FROM run r CROSS JOIN file f ON f.file_id = r.id LEFT JOIN revision v ON v.n = r.revision "
    "WHERE r.status <> 'transferred'"  # the condition of index run_status, word for word
)

_OLDEST = """
SELECT min(at) FROM (
  SELECT * FROM (SELECT at FROM run WHERE status = 'uploaded' AND status <> 'transferred' AND state = 'ready'
                 ORDER BY at LIMIT 1)
  UNION ALL
  SELECT * FROM (SELECT at FROM run WHERE status = 'queued' AND status <> 'transferred' AND state = 'ready'
                 ORDER BY at LIMIT 1)
  UNION ALL
  SELECT * FROM (SELECT at FROM run WHERE status = 'processing' AND status <> 'transferred' AND state = 'ready'
                 ORDER BY at LIMIT 1))
"""

NEWEST = "SELECT max(version) FROM file WHERE file_id >= (SELECT substr(max(file_id), 1, 10) FROM file)"
"""Ids begin with the time of their version: the greatest version is among the last millisecond's."""


class SqliteCatalog:
    """See Catalog."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def file(self, file_id: str) -> FileRecord | None:
        """See Catalog."""
        until = file_id + "\U0010ffff" if len(file_id) >= SHORTEST_PREFIX else file_id
        sql = f"{_COLUMNS} {_BY_TIME} WHERE f.file_id BETWEEN ? AND ? LIMIT 2"
        with self._connections.reading() as db:
            found = rows(db, sql, file_id, until)
        return _record(found[0]) if len(found) == 1 else None

    def files(self, filter: Filter, *, limit: int = 100, after: str = "") -> list[FileRecord]:
        """See Catalog."""
        sql, values = query(filter, limit, after)
        with self._connections.reading() as db:
            return [_record(r) for r in rows(db, sql, *values)]

    def events(self, file_id: str) -> list[Event]:
        """See Catalog."""
        with self._connections.snapshot() as db:
            return history.read(db, file_id)

    def counts(self) -> Counts:
        """See Catalog."""
        with self._connections.snapshot() as db:
            places, size = figure.read(db)
            (oldest,) = first(db, _OLDEST)
        files = dict.fromkeys(Status, 0)
        runs = dict.fromkeys(State, 0)
        for (state, status), n in places.items():
            files[status] += n
            runs[state] += n
        return Counts(files, size, runs, places.get((State.WAITING, Status.UPLOADED), 0), row.seconds(oldest))

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
    if filter.status in (None, Status.TRANSFERRED):
        lead, at, id = f"{_BY_TIME} WHERE true", "f.at", "f.file_id"
    else:
        lead, at, id = _BY_STATUS, "r.at", "r.id"
    conditions = [*_conditions(filter, at)]
    if after:
        conditions.append((f"({at}, {id}) < (SELECT at, file_id FROM file WHERE file_id = ?)", after))
    where = "".join(f" AND {condition}" for condition, _ in conditions)
    return f"{_COLUMNS} {lead}{where} ORDER BY {at} DESC, {id} DESC LIMIT ?", [
        *(value for _, value in conditions),
        limit,
    ]


def _conditions(filter: Filter, at: str) -> Iterator[tuple[str, Any]]:
    if filter.status:
        yield "r.status = ?", filter.status
    if filter.customer:
        yield "f.customer = ?", filter.customer
    if filter.since is not None:
        yield f"{at} >= ?", row.micros(filter.since)
    if filter.until is not None:
        yield f"{at} < ?", row.micros(filter.until)
    if filter.pipeline:
        yield "v.pipeline = ?", filter.pipeline
    if filter.name:
        yield "f.key GLOB ?", filter.name
    if filter.error:
        yield "instr(r.error, ?)", filter.error


def _record(r: tuple[Any, ...]) -> FileRecord:
    (file_id, bucket, key, customer, at, transferred, status, error, version, size, digest) = r[:11]
    (attempts, pipeline, revision, media_type, source, user, state, due, owner, story) = r[11:]
    status = Status(status)
    delivered = row.to_delivered(orjson.loads(story).get("delivered", ())) if status.is_final else ()
    return FileRecord(
        file_id=file_id,
        source_bucket=bucket,
        destination_bucket=delivered[0].bucket if delivered else "",
        key=key,
        customer_id=customer,
        upload_timestamp=at / 1_000_000,
        transfer_timestamp=row.seconds(transferred),
        status=status,
        error_message=error,
        version=version,
        size=size,
        sha256=digest.hex(),
        attempts=attempts,
        pipeline=pipeline or "",
        revision=revision or "",
        manifest_id="",
        media_type=media_type,
        source=source,
        user=user,
        state=State(state),
        due=row.seconds(due),
        delivered=delivered,
        owner=owner or "",
    )
