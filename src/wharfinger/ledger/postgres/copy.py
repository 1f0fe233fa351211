"""
A ledger as a whole, copied while it is in use, and back from a copy.

    ledger/manifest.json        version of the tables, their columns and rows, and how far each sequence has come
    ledger/file.csv.gz ...      the rows of each table, as COPY writes them: every newer server reads them
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from psycopg import sql

from wharfinger.errors import LedgerError, UsageError
from wharfinger.ledger import REFILL
from wharfinger.ledger.postgres import schema
from wharfinger.ledger.postgres.aside import TABLES
from wharfinger.ledger.postgres.connection import Connections, Transaction, first, rows
from wharfinger.model import ObjectRef
from wharfinger.store import disk
from wharfinger.telemetry import crash

FOLDER, MANIFEST = "ledger", "manifest.json"

PIECE = 1 << 16
"""Bytes that are on their way at a time."""

OF_THE_SERVER = {"migration", "life"}
"""Tables that tell of one database: another one has its own."""

_UNCHANGED = "SELECT pg_advisory_lock_shared(hashtextextended(current_schema() || '/migrate', 0))"
"""No table changes as long as this connection stands. It comes before the transaction, which sees what was there when it began."""

_AT_ONCE = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL bytea_output = 'hex'"

_HERE = "relnamespace = quote_ident(current_schema())::regnamespace"

_COLUMNS = f"""
SELECT relname::text, attname::text, pg_sequence_last_value(pg_get_serial_sequence(quote_ident(relname), attname)::regclass)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE {_HERE} AND relname = ANY(%s::text[]) AND attnum > 0 AND NOT attisdropped ORDER BY relname, attnum
"""

_TAKEN = f"SELECT EXISTS (SELECT FROM pg_class WHERE {_HERE} AND relkind IN ('r', 'p', 'S'))"

_ADVANCE = "SELECT setval(pg_get_serial_sequence(quote_ident(%s), %s)::regclass, %s)"

_CAME_FROM = "SELECT obj_description(to_regclass('migration'), 'pg_class')"


class PostgresCopies:
    """Copies of the ledger at `url`: a directory with a file for each table. See Copies."""

    def __init__(self, url: str) -> None:
        self._url = url

    def copy(self, folder: Path) -> list[str]:
        """See Copies. It sees the tables as one transaction does, and holds up nobody."""
        place = folder / FOLDER
        place.mkdir(0o700, exist_ok=True)
        with self._connected() as connections:
            manifest = connections.read(partial(_copy, connections, place))
        with _created(place / MANIFEST) as file:
            file.write(orjson.dumps(manifest))
        return [f"{FOLDER}/{name}" for name in (MANIFEST, *map(_named, manifest["tables"]))]

    def is_one(self, folder: Path) -> bool:
        """See Copies."""
        return (folder / FOLDER / MANIFEST).is_file()

    def check(self, folder: Path) -> None:
        """See Copies."""
        schema.refuse_newer(f"{folder}: its ledger", _manifest(folder)["version"], len(schema.STEPS))

    def files(self, folder: Path) -> int:
        """See Copies."""
        return sum(table["rows"] for name, table in _manifest(folder)["tables"].items() if name == "file")

    def kept(self, folder: Path) -> Iterator[ObjectRef]:
        """See Copies."""
        for name, table in _manifest(folder)["tables"].items():
            if name == "file":
                with gzip.open(folder / FOLDER / _named(name), "rt", encoding="utf-8", newline="") as file:
                    yield from map(_ref, filter(_is_kept, csv.DictReader(file, fieldnames=table["columns"])))

    def occupants(self) -> list[str]:
        """See Copies: the database, where any table is in the schema."""
        with self._connected() as connections:
            return [connections.name] if connections.read(lambda db: first(db, _TAKEN)[0]) else []

    def restore(self, folder: Path) -> None:
        """See Copies. All in one transaction, which leaves a comment by which a repeat knows its own work."""
        self.check(folder)
        with self._connected() as connections:
            connections.read(partial(_fill, connections, folder))

    @contextmanager
    def _connected(self) -> Iterator[Connections]:
        with closing(Connections(self._url, 10.0)) as connections:
            yield connections


def _copy(connections: Connections, place: Path, db: Transaction) -> Mapping[str, Any]:
    """The manifest, once the tables are written."""
    schema.fit(connections, db)
    first(db, _UNCHANGED)
    version = schema.version(db)
    if version == 0:
        raise LedgerError(f"{connections.name}: no ledger is there", code="NO_LEDGER", fix=REFILL)
    schema.refuse_newer(f"{connections.name}: the ledger", version, len(schema.STEPS))
    db.execute(_AT_ONCE, prepare=False)
    tables: dict[str, dict[str, Any]] = {}
    sequences = []
    for table, column, last in rows(db, _COLUMNS, [*{*TABLES} - OF_THE_SERVER]):
        tables.setdefault(table, {"columns": []})["columns"].append(column)
        sequences += [(table, column, last)] if last is not None else []
    for name, table in tables.items():
        table["rows"] = _copy_out(db, name, table["columns"], place / _named(name))
    db.execute("COMMIT")
    return {"id": str(uuid.uuid4()), "version": version, "tables": tables, "sequences": sequences}


def _copy_out(db: Transaction, table: str, columns: Sequence[str], path: Path) -> int:
    with _created(path) as file, gzip.GzipFile("", "wb", 1, file, 0) as packed, db.cursor() as cursor:
        with cursor.copy(_copying(table, columns, "TO STDOUT")) as pieces:
            for piece in pieces:
                packed.write(piece)
        return cursor.rowcount


def _fill(connections: Connections, folder: Path, db: Transaction) -> None:
    manifest = _manifest(folder)
    schema.fit(connections, db)
    db.execute(schema.BEGIN, prepare=False)
    if first(db, _TAKEN)[0]:
        if first(db, _CAME_FROM) != (manifest["id"],):
            raise UsageError(
                f"{connections.name}: the database is not empty",
                code="NOT_EMPTY",
                fix="name an empty one as `ledger`: createdb NAME",
            )
        db.execute("ROLLBACK")
        return
    schema.lift(connections, db, schema.STEPS[: manifest["version"]])
    for name, table in manifest["tables"].items():
        _copy_in(db, name, table["columns"], folder / FOLDER / _named(name))
    for sequence in manifest["sequences"]:
        first(db, _ADVANCE, *sequence)
    schema.lift(connections, db, schema.STEPS)
    db.execute(sql.SQL("COMMENT ON TABLE migration IS {}").format(manifest["id"]))
    crash.point("restore.filled")
    db.execute("COMMIT")


def _copy_in(db: Transaction, table: str, columns: Sequence[str], path: Path) -> None:
    with gzip.open(path) as file, db.cursor() as cursor, cursor.copy(_copying(table, columns, "FROM STDIN")) as copy:
        while piece := file.read(PIECE):
            copy.write(piece)


def _copying(table: str, columns: Sequence[str], way: str) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) {} (FORMAT csv, ENCODING 'UTF8')").format(sql.Identifier(table), names, sql.SQL(way))


def _manifest(folder: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = orjson.loads((folder / FOLDER / MANIFEST).read_bytes())
    return found


def _named(table: str) -> str:
    return f"{table}.csv.gz"


def _is_kept(row: Mapping[str, str]) -> bool:
    return not row.get("purged")


def _ref(row: Mapping[str, str]) -> ObjectRef:
    return ObjectRef(row["bucket"], row["key"], row["version"], int(row["size"]), row["sha256"].removeprefix("\\x"))


@contextmanager
def _created(path: Path) -> Iterator[io.FileIO]:
    """A new file, which holds password hashes: others may not read it. Raises StoreError where the disk refuses."""
    try:
        with io.FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            yield file
    except OSError as exc:
        raise disk.refusal(exc, f"the ledger could not be copied to {path}") from exc
