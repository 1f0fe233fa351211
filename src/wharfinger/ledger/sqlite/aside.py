"""A ledger's file as a whole: given another name, so that a new one can take its place, or copied while it is in use."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

import apsw

from wharfinger.errors import Busy, LedgerError
from wharfinger.store import disk


def move_aside(path: str) -> Path:
    """
    Rename the ledger at `path`, with everything in it, to `path`.DATE, and answer that name. Raises Busy while any process has
    it open: to leave the WAL, SQLite needs the file alone (sqlite.org/pragma.html#pragma_journal_mode).
    """
    connection = apsw.Connection(path)
    try:
        connection.pragma("journal_mode", "delete")
    except apsw.BusyError as exc:
        raise Busy(
            f"{path}: another process has the ledger open", fix="stop wharf serve and its workers first"
        ) from exc
    finally:
        connection.close()
    aside = Path(f"{path}.{time.strftime('%Y%m%dT%H%M%S')}")
    if aside.exists():
        raise Busy(f"{aside} is there already", fix="try again in a second")
    return Path(path).rename(aside)


def copy_to(path: str, target: Path) -> None:
    """
    Copy the ledger at `path`, as it is at one instant, to a new file, durably; readers and writers go on meanwhile
    (sqlite.org/backup.html). Raises LedgerError where the copy is not sound.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(apsw.Connection(path)) as source, closing(apsw.Connection(str(target))) as copy:
        source.set_busy_timeout(10_000)
        try:
            with copy.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step()
            copy.pragma("journal_mode", "delete")
            found = copy.pragma("quick_check")
        except apsw.Error as exc:
            raise LedgerError(
                f"{path} could not be copied: {exc}", fix="wharf doctor; make room where it is copied to"
            ) from exc
    if found != "ok":
        raise LedgerError(
            f"{path} is damaged: {found}", code="LEDGER_CORRUPT", fix="move it away and rebuild the ledger"
        )
    disk.sync_file(str(target))
