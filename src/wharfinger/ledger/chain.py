"""
The chain of a file's events: each hash covers the one before, so that no line can be changed, moved or left out unseen.

hash = SHA-256(hash of the event before, 32 bytes (none before the first) || JSON of [file_id, n, at, kind, data]), where `at`
is in whole microseconds, and JSON is UTF-8 without spaces, the keys of `data` sorted, numbers in their shortest form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson

from wharfinger.model import Event


def canonical(data: Mapping[str, Any]) -> bytes:
    """`data` as the chain hashes it."""
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)


def seal(before: bytes, file_id: str, n: int, at_us: int, kind: str, data: bytes) -> bytes:
    """The hash of an event that follows the event with the hash `before` (b"" for the first); `data` is canonical."""
    return sha256(before + line(file_id, n, at_us, kind, data)).digest()


def line(file_id: str, n: int, at_us: int, kind: str, data: bytes) -> bytes:
    """What the hash of an event covers beside the hash before it."""
    return orjson.dumps([file_id, n, at_us, kind, orjson.Fragment(data)])


def verify(events: Sequence[Event]) -> list[str]:
    """What is wrong with the history of one file, oldest event first: a sentence for each event that does not follow."""
    problems, before = [], b""
    for n, event in enumerate(events, 1):
        if event.n != n:
            problems.append(f"{event.file_id}: event {event.n} stands where {n} should")
        at_us = round(event.at * 1_000_000)
        if seal(before, event.file_id, event.n, at_us, event.kind, canonical(event.data)).hex() != event.hash:
            problems.append(f"{event.file_id}: event {event.n} ({event.kind}) or one before it was changed")
        before = bytes.fromhex(event.hash)
    return problems
