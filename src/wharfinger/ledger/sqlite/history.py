"""Events: written in the transaction of the fact they tell, chained file by file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apsw
import orjson

from wharfinger.ledger import chain
from wharfinger.ledger.sqlite import row
from wharfinger.ledger.sqlite.connection import first, insert, many, rows
from wharfinger.model import Event

INTO = "event(file_id, n, at, kind, data, hash)"

_HEADS = """
SELECT e.file_id, e.n, e.hash FROM json_each(?) wanted CROSS JOIN event e
ON e.file_id = wanted.value AND e.n = (SELECT max(n) FROM event WHERE file_id = wanted.value)
"""


def begin(tx: apsw.Connection, files: Sequence[tuple[Any, ...]]) -> None:
    """The first event of each new file (rows of table `file`): it arrived."""
    insert(tx, INTO, [(f[0], 1, f[7], "arrived", None, _first(f)) for f in files])


def append(tx: apsw.Connection, at_us: int, told: Sequence[tuple[str, str, Mapping[str, Any]]]) -> None:
    """Add events (file_id, kind, data) to the histories of these files."""
    if not told:
        return
    heads = {file_id: (n, hash) for file_id, n, hash in rows(tx, _HEADS, many([t[0] for t in told]))}
    lines = []
    for file_id, kind, data in told:
        n, before = heads[file_id]
        text = chain.canonical(data)
        heads[file_id] = n + 1, chain.seal(before, file_id, n + 1, at_us, kind, text)
        lines.append((file_id, n + 1, at_us, kind, text.decode(), heads[file_id][1]))
    insert(tx, INTO, lines)


def read(db: apsw.Connection, file_id: str) -> list[Event]:
    """All events of a file, oldest first."""
    lines = rows(db, "SELECT n, at, kind, data, hash FROM event WHERE file_id = ? ORDER BY n", file_id)
    return [
        Event(
            file_id, n, at / 1_000_000, kind, _landed(db, file_id) if data is None else orjson.loads(data), hash.hex()
        )
        for n, at, kind, data, hash in lines
    ]


def _first(file: tuple[Any, ...]) -> bytes:
    return chain.seal(b"", file[0], 1, file[7], "arrived", chain.canonical(row.told(file)))


def _landed(db: apsw.Connection, file_id: str) -> dict[str, Any]:
    return row.told(first(db, f"SELECT file_id, {row.ARRIVAL} FROM file WHERE file_id = ?", file_id))
