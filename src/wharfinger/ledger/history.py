"""Events as rows: what follows what, what is kept of it, and how it is read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from wharfinger.ledger import chain, row

Head = tuple[int, bytes]
"""The number and the hash of a file's last event."""

Line = tuple[str, int, int, str, int | None, str | None, bytes]
"""A row of table `event`: file_id, n, at (µs), kind, number of the revision, data, hash."""


class Told(NamedTuple):
    """A fact for the history of a file. `revision` is the number of the one that `data` names, if it does."""

    file_id: str
    kind: str
    data: Mapping[str, Any]
    revision: int | None = None


def firsts(files: Sequence[tuple[Any, ...]]) -> list[Line]:
    """The first event of each new file (rows of table `file`): it arrived. Its data are that row, which is not kept twice."""
    return [(f[0], 1, f[7], "arrived", None, None, _first_hash(f)) for f in files]


def following(heads: Mapping[str, Head], told: Sequence[Told], at_us: int) -> list[Line]:
    """The events that tell this, each behind the last of its file."""
    latest = dict(heads)
    lines: list[Line] = []
    for t in told:
        n, before = latest[t.file_id]
        data = chain.canonical(t.data)
        hash = chain.seal(before, t.file_id, n + 1, at_us, t.kind, data)
        latest[t.file_id] = n + 1, hash
        lines.append((t.file_id, n + 1, at_us, t.kind, t.revision, _kept(t, data), hash))
    return lines


def data(text: str, pipeline: str | None, revision: str | None) -> dict[str, Any]:
    """What an event tells, from what was kept of it."""
    named = {} if pipeline is None else {"pipeline": pipeline, "revision": revision}
    return {**orjson.loads(text), **named}


def _first_hash(file: tuple[Any, ...]) -> bytes:
    return chain.seal(b"", file[0], 1, file[7], "arrived", chain.canonical(row.told(file)))


def _kept(t: Told, data: bytes) -> str:
    if t.revision is not None:
        data = chain.canonical({key: value for key, value in t.data.items() if key not in ("pipeline", "revision")})
    return data.decode()
