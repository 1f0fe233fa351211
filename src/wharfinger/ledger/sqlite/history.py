"""Events: written in the transaction of the fact they tell, chained file by file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import apsw
import orjson

from wharfinger.ledger import chain
from wharfinger.ledger.sqlite import row
from wharfinger.ledger.sqlite.connection import first, insert, many, rows
from wharfinger.model import Event

_INTO = "event(file_id, n, at, kind, revision, data, hash)"

_HEADS = """
SELECT e.file_id, e.n, e.hash FROM json_each(?) wanted CROSS JOIN event e
ON e.file_id = wanted.value AND e.n = (SELECT max(n) FROM event WHERE file_id = wanted.value)
"""

_READ = """
SELECT event.n, at, kind, data, hash, v.pipeline, v.revision FROM event LEFT JOIN revision v ON v.n = event.revision
WHERE file_id = ? ORDER BY event.n
"""


class Told(NamedTuple):
    """A fact for the history of a file. `revision` is the number of the one that `data` names, if it does."""

    file_id: str
    kind: str
    data: Mapping[str, Any]
    revision: int | None = None


def begin(tx: apsw.Connection, files: Sequence[tuple[Any, ...]]) -> None:
    """The first event of each new file (rows of table `file`): it arrived."""
    insert(tx, _INTO, [(f[0], 1, f[7], "arrived", None, None, _first_hash(f)) for f in files])


def append(tx: apsw.Connection, at_us: int, told: Sequence[Told]) -> None:
    """Add these to the histories of their files."""
    if not told:
        return
    heads = {file_id: (n, hash) for file_id, n, hash in rows(tx, _HEADS, many([t.file_id for t in told]))}
    lines = []
    for t in told:
        n, before = heads[t.file_id]
        data = chain.canonical(t.data)
        hash = chain.seal(before, t.file_id, n + 1, at_us, t.kind, data)
        heads[t.file_id] = n + 1, hash
        lines.append((t.file_id, n + 1, at_us, t.kind, t.revision, _kept(t, data), hash))
    insert(tx, _INTO, lines)


def read(db: apsw.Connection, file_id: str) -> list[Event]:
    """All events of a file, oldest first."""
    return [
        Event(file_id, n, at / 1_000_000, kind, _data(db, file_id, data, pipeline, revision), hash.hex())
        for n, at, kind, data, hash, pipeline, revision in rows(db, _READ, file_id)
    ]


def _first_hash(file: tuple[Any, ...]) -> bytes:
    return chain.seal(b"", file[0], 1, file[7], "arrived", chain.canonical(row.told(file)))


def _kept(t: Told, data: bytes) -> str:
    if t.revision is not None:
        data = chain.canonical({key: value for key, value in t.data.items() if key not in ("pipeline", "revision")})
    return data.decode()


def _data(
    db: apsw.Connection, file_id: str, data: str | None, pipeline: str | None, revision: str | None
) -> dict[str, Any]:
    if data is None:
        return row.told(first(db, f"SELECT file_id, {row.ARRIVAL} FROM file WHERE file_id = ?", file_id))
    named = {} if pipeline is None else {"pipeline": pipeline, "revision": revision}
    return {**orjson.loads(data), **named}
