"""Between rows and values: times are whole microseconds in the database, hashes are bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from wharfinger.model import Arrival, Checkpoint, Child, Delivered, Group, ObjectRef, Purge

ARRIVAL = 'bucket, key, version, size, sha256, customer, at, media_type, source, "user", session, cost, mtime'
"""The columns of table `file` that make an Arrival."""


def micros(seconds: float) -> int:
    """Epoch seconds as the database keeps them."""
    return round(seconds * 1_000_000)


def seconds(micros: int | None) -> float | None:
    """Epoch seconds as values have them."""
    return None if micros is None else micros / 1_000_000


def from_arrival(a: Arrival) -> tuple[Any, ...]:
    """The row of table `file`. Raises ValueError if the hash is not hexadecimal."""
    digest = bytes.fromhex(a.sha256)
    mtime = None if a.mtime is None else micros(a.mtime)
    where = (a.file_id, a.bucket, a.key, a.version, a.size, digest, a.customer, micros(a.at))
    return (*where, a.media_type, a.source, a.user, a.session, micros(a.cost), mtime)


def to_arrival(row: Sequence[Any], *, group: Group | None = None, purge: Purge | None = None) -> Arrival:
    """The Arrival of a row with the columns ARRIVAL."""
    bucket, key, version, size, digest, customer, at, media_type, source, user, session, cost, mtime = row
    times = at / 1_000_000, media_type, source, user, session, cost / 1_000_000, seconds(mtime)
    return Arrival(bucket, key, version, size, digest.hex(), customer, *times, purge=purge, group=group)


def told(row: Sequence[Any]) -> dict[str, Any]:
    """What the event `arrived` tells: all that a row of table `file` has beside the event's own file_id and time."""
    _, bucket, key, version, size, digest, customer, _, media_type, source, user, session, cost, mtime = row
    return {
        "bucket": bucket,
        "key": key,
        "version": version,
        "size": size,
        "sha256": digest.hex(),
        "customer": customer,
        "media_type": media_type,
        "source": source,
        "user": user,
        "session": session,
        "cost": cost / 1_000_000,
        "mtime": seconds(mtime),
    }


def to_group(name: str | None, holds: int | None) -> Group | None:
    """The Group of a run's columns `grp` and `hold`."""
    return None if name is None else Group(name, bool(holds))


def from_checkpoint(checkpoint: Checkpoint) -> str:
    """Its JSON: orjson writes dataclasses as objects."""
    return orjson.dumps(checkpoint).decode()


def to_checkpoint(text: str | None) -> Checkpoint | None:
    """The Checkpoint that `from_checkpoint` wrote."""
    if text is None:
        return None
    data = orjson.loads(text)
    inputs = _to_inputs(data["inputs"])
    kept = tuple(ObjectRef(**ref) for ref in data.get("kept", ()))  # a ledger of version 1 does not tell
    delivered, unnamed = to_delivered(data["delivered"]), data.get("unnamed", 0)  # nor does one of version 11
    return Checkpoint(data["step"], inputs, data["facts"], data["revision"], delivered, kept, unnamed)


def from_child(child: Child) -> str:
    """The JSON of what it works on; what is kept for it is in its checkpoint."""
    parts = {
        "pipeline": child.pipeline,
        "revision": child.revision,
        "step": child.step,
        "member": child.member,
        "inputs": child.inputs,
    }
    return orjson.dumps(parts).decode()


def to_child(text: str | None) -> Child | None:
    """The Child that `from_child` wrote."""
    if text is None:
        return None
    data = orjson.loads(text)
    return Child(data["pipeline"], data["revision"], data["step"], data["member"], _to_inputs(data["inputs"]))


def _to_inputs(items: list[Any]) -> tuple[tuple[ObjectRef, str, str], ...]:
    return tuple((ObjectRef(**ref), name, media_type) for ref, name, media_type in items)


def from_delivered(delivered: Sequence[Delivered], unnamed: int) -> dict[str, Any]:
    """What an event tells of deliveries: those that are named, and how many there are."""
    return {"delivered": [fields(each) for each in delivered], "delivered_in_all": len(delivered) + unnamed}


def to_delivered(items: list[dict[str, Any]]) -> tuple[Delivered, ...]:
    """Deliveries as JSON has them."""
    return tuple(Delivered(**item) for item in items)


def fields(value: Any) -> dict[str, Any]:
    """A slotted dataclass as JSON has it."""
    return {name: getattr(value, name) for name in value.__slots__}
