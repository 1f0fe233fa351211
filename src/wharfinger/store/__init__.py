"""
Objects: bytes under (bucket, key, version), durable before they are acknowledged.

`Store` is the port for custody; `Target` is the port for what lies outside custody, where a delivery becomes visible.
Both take many at a time, so that a group shares its syncs, and answer element by element: one bad name or one full disk
does not touch its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from wharfinger.errors import WharfingerError
from wharfinger.model import Arrival, Delivered, ObjectRef, Purge, Status


@dataclass(frozen=True, slots=True)
class Put:
    """A staged file that is to become the object `ref`. The store takes the file: afterwards `path` is gone."""

    ref: ObjectRef
    path: Path | str  # where the store stages (see Staging and Store.scratch)
    about: Mapping[str, Any] = field(default_factory=dict)  # JSON for the object's journal line: customer, user, ...
    fd: int | None = None  # an open descriptor of `path`, if the caller has one; stays the caller's to close
    is_prepared: bool = False  # `Store.prepare` was called for it, and nobody else can have put this `ref`


@dataclass(frozen=True, slots=True)
class Copy:
    """The object `source` again, as `ref` (same size and SHA-256)."""

    source: ObjectRef
    ref: ObjectRef
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as the store's own journal describes it."""

    ref: ObjectRef
    at: float  # epoch s
    about: Mapping[str, Any]


class Store(Protocol):
    """Custody of bytes. An object never changes: new bytes are a new version. Every verb is safe to repeat."""

    def put(self, puts: Sequence[Put]) -> list[WharfingerError | None]:
        """
        Keep these objects. When it returns, each element that is None is durable and described in the journal; an element
        that is an error left nothing visible. Putting a `ref` again that is there already changes nothing; where other bytes
        lie under it, the element is Corrupt.
        """
        ...

    def prepare(self, put: Put) -> None:
        """
        Do ahead of `put` what takes long with a large file, so that nobody who is in the same group waits for it. Nothing is kept by it,
        and the staged file stays. Raises StoreError.
        """
        ...

    def copy(self, copies: Sequence[Copy]) -> list[WharfingerError | None]:
        """Like `put`, from objects that the store has already; within one store no bytes pass through the process."""
        ...

    def open(self, ref: ObjectRef) -> BinaryIO:
        """The object's bytes, seekable. Raises NotFound; reads of what is not local may raise StoreError."""
        ...

    def head(self, refs: Sequence[ObjectRef]) -> list[int | None]:
        """The size in bytes of each object that is there, else None."""
        ...

    def delete(self, refs: Sequence[ObjectRef]) -> None:
        """Remove these objects; one that is not there is no error."""
        ...

    def list(self, bucket: str = "", prefix: str = "") -> Iterator[Listed]:
        """The objects that are there (each one once), oldest first."""
        ...

    def note(self, notes: Sequence[Mapping[str, Any]]) -> None:
        """Append JSON objects to the journal, durably: what a rebuilt ledger must know beside the objects."""
        ...

    def notes(self) -> Iterator[Mapping[str, Any]]:
        """All that `note` was given, oldest first."""
        ...

    @property
    def staging(self) -> Path:
        """The local directory where files are staged that are to be put (see Staging)."""
        ...

    def scratch(self) -> Path:
        """A new empty local directory for work in progress, on the filesystem of `staging`; the caller removes it."""
        ...

    def close(self) -> None:
        """Let go of the store; what it keeps stays for whoever opens it next."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """Bytes that are to appear under `key` at a target. `version` is the same at every repeat of the same run and step."""

    source: ObjectRef | Path  # an object of the store, or a file in scratch (which is left where it is)
    key: str
    version: str
    size: int  # bytes
    sha256: str  # hex
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lying:
    """A file that lies at a target now."""

    key: str  # with the target's prefix, as Delivered names it
    version: str  # "" in a directory
    size: int  # bytes
    at: float  # when it was last written; epoch s
    sha256: str = ""  # hex; "" where that takes reading it


class Target(Protocol):
    """A place outside custody where deliveries become visible: another bucket or prefix, a directory, later a partner's server."""

    def deliver(self, deliveries: Sequence[Delivery]) -> list[Delivered | WharfingerError]:
        """
        Make each one visible under its name, whole and durable, checked against its SHA-256. A name that already has these
        very bytes is left untouched and counts as delivered; other bytes under the name are replaced in one step.
        """
        ...

    def head(self, key: str) -> int | None:
        """The size in bytes of what lies under `key` now, else None."""
        ...

    def listing(self) -> Iterator[Lying]:
        """
        All that lies there under the target's prefix, whoever put it there; our own temporary files and what is no regular file are left
        out. Raises Transient where the place is not there, StoreError where something in it cannot be looked at.
        """
        ...

    def digest(self, lying: Lying) -> str | None:
        """The SHA-256 (hex) of what lies there; None where it is gone by now. Raises Transient, StoreError likewise."""
        ...


def delivery_note(file_id: str, delivered: Sequence[Delivered], error: str = "", unnamed: int = 0) -> dict[str, Any]:
    """
    What `Store.note` is given before a file is settled as transferred: its visible effects, what it went on without, and how many
    effects there are beside those that are named.
    """
    effects = [
        {
            "destination": each.destination,
            "bucket": each.bucket,
            "key": each.key,
            "version": each.version,
            "size": each.size,
            "sha256": each.sha256,
            "at": each.at,
        }
        for each in delivered
    ]
    in_all = len(effects) + unnamed
    return {"file_id": file_id, "delivered": effects, "delivered_in_all": in_all, **({"error": error} if error else {})}


def noted_delivery(note: Mapping[str, Any]) -> tuple[str, tuple[Delivered, ...], str, int] | None:
    """
    The file_id, the effects, the error and the number of effects unnamed that `delivery_note` wrote; None for a note of another kind.
    Raises ValueError for one of this kind that cannot be read: it is damaged, or a newer version wrote it.
    """
    if "delivered" not in note:
        return None
    try:
        named = tuple(Delivered(**each) for each in note["delivered"])
        in_all = int(note.get("delivered_in_all", len(named)))  # an earlier version does not tell
        return str(note["file_id"]), named, str(note.get("error", "")), in_all - len(named)
    except (KeyError, TypeError, ValueError) as exc:
        raise ValueError(f"a note on a delivery that this version cannot read: {exc!r}") from exc


def purge_note(arrival: Arrival) -> dict[str, Any]:
    """What `Store.note` is given before the bytes of a file are removed for good: the file, and its `purge`."""
    assert arrival.purge
    about = {name: getattr(arrival, name) for name in _ARRIVAL}
    return {"file_id": arrival.file_id, "purged": {**about, "purge": asdict(arrival.purge)}}


def noted_purge(note: Mapping[str, Any]) -> Arrival | None:
    """
    The file that `purge_note` wrote of; None for a note of another kind. Raises ValueError for one of this kind that cannot be read: it
    is damaged, or a newer version wrote it; what an older one did not know of a file is as if it were not given.
    """
    if "purged" not in note:
        return None
    try:
        said = note["purged"]
        purge = Purge(**{**said["purge"], "status": Status(said["purge"]["status"])})
        return Arrival(**{name: said[name] for name in _ARRIVAL if name in said}, purge=purge)
    except (KeyError, TypeError) as exc:
        raise ValueError(f"a note on a purge that this version cannot read: {exc!r}") from exc


def cancel_note(file_id: str, by: str | None) -> dict[str, Any]:
    """What `Store.note` is given before a file is cancelled, and by whom; or, `by` None, before a cancelled one is replayed."""
    return {"file_id": file_id, "cancelled": by}


def noted_cancel(note: Mapping[str, Any]) -> tuple[str, str | None] | None:
    """
    The file_id and who cancelled it, None where it was replayed: as `cancel_note` wrote it; None for a note of another kind. Raises
    ValueError for one of this kind that cannot be read.
    """
    if "cancelled" not in note:
        return None
    file_id, by = note.get("file_id"), note["cancelled"]
    if not isinstance(file_id, str) or not isinstance(by, str | None):
        raise ValueError("a note on a cancelled file that this version cannot read")
    return file_id, by


_OTHERWISE = {"delivered", "unnamed", "error", "purge", "group"}
"""What other notes tell of a file, or this one in its own place, or the configuration."""

_ARRIVAL = [each.name for each in fields(Arrival) if each.init and each.name not in _OTHERWISE]
