"""A ledger's file as a whole, copied while it is in use, and back from a copy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from wharfinger.errors import LedgerError, UsageError
from wharfinger.ledger import MANY, REFILL, Catalog, Filter
from wharfinger.ledger.sqlite import schema
from wharfinger.ledger.sqlite.database import SqliteDatabase
from wharfinger.model import ObjectRef
from wharfinger.store import archive

NAME = "ledger.db"

COMPANIONS = ("-wal", "-shm", "-journal")
"""Ends of the names of SQLite's files beside a database (sqlite.org/tempfiles.html)."""


class SqliteCopies:
    """Copies of the ledger at `path`: one file, a ledger itself. See Copies."""

    def __init__(self, path: str) -> None:
        self._path = path

    def copy(self, folder: Path) -> list[str]:
        """See Copies. Readers and writers go on meanwhile (sqlite.org/backup.html)."""
        missing = LedgerError(f"{self._path}: no ledger is there", code="NO_LEDGER", fix=REFILL)
        if not Path(self._path).exists():
            raise missing
        target = folder / NAME
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            opened = apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READWRITE)  # it makes none
            with closing(opened) as source, closing(apsw.Connection(str(target))) as copy:
                source.set_busy_timeout(10_000)
                if source.pragma("user_version") == 0:
                    raise missing
                with copy.backup("main", source, "main") as backup:
                    while not backup.done:
                        backup.step()
                copy.pragma("journal_mode", "delete")
                found = copy.pragma("quick_check")
        except apsw.Error as exc:
            raise LedgerError(
                f"{self._path} could not be copied: {exc}", fix="wharf doctor; make room where it is copied to"
            ) from exc
        if found != "ok":
            raise LedgerError(
                f"{self._path} is damaged: {found}",
                code="LEDGER_CORRUPT",
                fix="move it away and rebuild the ledger",
            )
        return [NAME]

    def is_one(self, folder: Path) -> bool:
        """See Copies."""
        return (folder / NAME).is_file()

    def check(self, folder: Path) -> None:
        """See Copies."""
        path = str(folder / NAME)
        try:
            with closing(apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)) as copy:
                found = copy.pragma("user_version")
        except apsw.Error as exc:
            raise LedgerError(f"{path} cannot be read: {exc}", fix="use another snapshot: --at NAME") from exc
        schema.refuse_newer(f"{path}: the ledger", found, len(schema.STEPS))

    def files(self, folder: Path) -> int:
        """See Copies."""
        with _opened(folder) as catalog:
            return sum(catalog.counts().files.values())

    def kept(self, folder: Path) -> Iterator[ObjectRef]:
        """See Copies."""
        after = ""
        with _opened(folder) as catalog:
            while page := catalog.files(Filter(), limit=MANY, after=after):
                yield from (record.ref for record in page if record.purged is None)
                after = page[-1].file_id

    def occupants(self) -> list[str]:
        """See Copies. What SQLite finds beside a ledger it takes for a part of it, whatever ledger it is of."""
        return [name for name in (self._path, *companions(self._path)) if os.path.lexists(name)]

    def restore(self, folder: Path) -> None:
        """See Copies."""
        self.check(folder)
        copy, place = folder / NAME, Path(self._path)
        there = self.occupants()
        if there and (there != [self._path] or archive.sha256_of(place) != archive.sha256_of(copy)):
            names = ", ".join(there)
            raise UsageError(
                f"{names}: another ledger is here, or this one is in use already",
                code="NOT_EMPTY",
                fix=f"if nothing of it is needed, move {names} away; then wharf restore",
            )
        archive.copy_file(copy, place)


def companions(path: str) -> list[str]:
    """Names of the files that SQLite may have beside the ledger at `path`."""
    return [f"{path}{end}" for end in COMPANIONS]


@contextmanager
def _opened(folder: Path) -> Iterator[Catalog]:
    with closing(SqliteDatabase(folder / NAME)) as database:
        yield database.catalog
