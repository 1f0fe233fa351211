"""Gives a ledger's file another name, so that a new one can take its place."""

from __future__ import annotations

import time
from pathlib import Path

import apsw

from wharfinger.errors import Busy


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
