"""The nouns: values that cross rooms. Frozen, no I/O, imports nothing of ours."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """What is true of a file, in the words that everyone sees."""

    UPLOADED = "uploaded"
    QUEUED = "queued"
    PROCESSING = "processing"
    TRANSFERRED = "transferred"
    FAILED = "failed"
    QUARANTINED = "quarantined"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the file unless somebody replays it."""
        return self in (Status.TRANSFERRED, Status.FAILED, Status.QUARANTINED)


class State(StrEnum):
    """Where a run stands. One that is `BEHIND` waits for others of its group; `DEAD` runs are the dead letters."""

    READY = "ready"
    LEASED = "leased"
    WAITING = "waiting"
    BEHIND = "behind"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


MOVES: Mapping[State, frozenset[State]] = {
    State.READY: frozenset({State.LEASED, State.BEHIND, State.CANCELLED}),
    State.LEASED: frozenset({State.READY, State.WAITING, State.DONE, State.DEAD, State.CANCELLED}),
    State.WAITING: frozenset({State.READY, State.BEHIND, State.CANCELLED}),
    State.BEHIND: frozenset({State.READY, State.CANCELLED}),
    State.DONE: frozenset({State.READY, State.BEHIND}),
    State.DEAD: frozenset({State.READY, State.BEHIND, State.CANCELLED}),
    State.CANCELLED: frozenset({State.READY, State.BEHIND}),
}
"""The legal moves of a run. Out of DONE, DEAD and CANCELLED leads only a replay, and so does what leads to BEHIND."""

ENDED = frozenset({State.DONE, State.DEAD, State.CANCELLED})
"""In these a run has come to its end."""


_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _BASE32 for b in _BASE32]
_ULID = re.compile(f"[0-7][{_BASE32}]{{25}}")


def base32(number: int, length: int) -> str:
    """`number` in Crockford's base 32, exactly `length` (even) characters: the text sorts as the number does."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(length * 5 - 10, -1, -10)])


def ulid(at: float, entropy: int) -> str:
    """A ULID (github.com/ulid/spec): 48 bits of milliseconds since the epoch, then 80 bits of entropy; 26 characters."""
    return base32(int(at * 1000) << 80 | entropy & (1 << 80) - 1, 26)


def is_ulid(text: str) -> bool:
    """Whether `text` could have come from `ulid`."""
    return _ULID.fullmatch(text) is not None


def instant(at: float) -> str:
    """Epoch seconds in RFC 3339: UTC, with microseconds, always 27 characters ("2026-03-01T12:04:31.250000Z")."""
    seconds, micros = divmod(round(at * 1_000_000), 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"


def derive(version: str, *parts: str) -> str:
    """
    The id that follows from `version` and `parts`: the same in every process, at every time.

    Where `version` is a ULID its time comes first, so that derived ids sort by time and databases append instead of
    inserting at random; the rest is SHA-256. Any other version (S3's are opaque) gives 130 bits of SHA-256.
    """
    digest = int.from_bytes(hashlib.sha256("\0".join((version, *parts)).encode("utf-8", "surrogatepass")).digest())
    return version[:10] + base32(digest >> 176, 16) if is_ulid(version) else base32(digest >> 126, 26)


def file_id(bucket: str, key: str, version: str) -> str:
    """The id of one version of one object: whoever sees that object (upload, event, listing) computes the same id."""
    return derive(version, f"{bucket}/{key}#{version}")


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One version of one object in the store."""

    bucket: str
    key: str
    version: str
    size: int  # bytes
    sha256: str  # hex; "" where a foreign store does not tell

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}#{self.version}"

    def is_in(self, bucket: str, prefix: str) -> bool:
        """Whether it is in this bucket ("": in any) under a key that begins so."""
        return bucket in ("", self.bucket) and self.key.startswith(prefix)


@dataclass(frozen=True, slots=True)
class Delivered:
    """One visible effect of a run: these bytes lie under this name at this destination."""

    destination: str  # its name in the configuration
    bucket: str  # a bucket of the store, or the directory
    key: str
    version: str
    size: int  # bytes
    sha256: str
    at: float  # epoch s, UTC


@dataclass(frozen=True, slots=True)
class Purge:
    """That the bytes of a file go for good, or are gone; its record and its history stay."""

    at: float  # when it was ordered; epoch s
    by: str  # who, or what, ordered it
    rule: str  # of the configuration, whose time has come; "" where somebody chose the file
    status: Status  # of the file, which is final
    error: str = ""  # of the file: "CODE: message"


@dataclass(frozen=True, slots=True)
class Group:
    """Files of one group are worked on one after another, in the order of their arrival."""

    name: str  # "acme/inbound/positions"
    holds: bool = True  # whether a file that failed, or that no pipeline takes, keeps those behind it waiting


@dataclass(frozen=True, slots=True)
class Arrival:
    """One object that landed whole. `file_id` is its idempotency key."""

    bucket: str
    key: str  # begins with the customer's home: "customer1/inbound/a.csv"
    version: str
    size: int  # bytes
    sha256: str  # hex
    customer: str
    at: float  # when the bytes were durable; epoch s, UTC
    media_type: str = "application/octet-stream"  # by content
    source: str = ""  # how it came: sftp, cli, ...
    user: str = ""
    session: str = ""
    cost: float = 0.001  # s of the customer's fair share that this file takes
    mtime: float | None = None  # the sender's time of last modification; epoch s
    delivered: tuple[Delivered, ...] | None = None  # known from the journal alone, when a ledger is rebuilt
    purge: Purge | None = None  # of one whose bytes are given up
    group: Group | None = None  # None: in no order
    error: str = ""  # what it went on without, of one that is `delivered`: "CODE: message"
    unnamed: int = 0  # deliveries of child runs beside those in `delivered`
    file_id: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "file_id", file_id(self.bucket, self.key, self.version))

    @property
    def ref(self) -> ObjectRef:
        """Where its bytes are."""
        return ObjectRef(self.bucket, self.key, self.version, self.size, self.sha256)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a run has behind it: `step` is the index of the next step, `inputs` are the published outputs of the last."""

    step: int
    inputs: tuple[tuple[ObjectRef, str, str], ...]  # (object, name, media type)
    facts: Mapping[str, Any]  # results of the steps so far, by step name
    revision: str  # of the pipeline that counts the steps; under another the checkpoint is void, under "" always
    delivered: tuple[Delivered, ...] = ()
    kept: tuple[ObjectRef, ...] = ()  # all that this checkpoint and earlier ones keep; of no use once the run has ended
    unnamed: int = 0  # deliveries of child runs beside those in `delivered`


@dataclass(frozen=True, slots=True)
class Child:
    """
    A run that another one calls for: one pipeline, on objects of the store. `member` is the path in the archive that its input
    came out of, also further down; "" where there was none.
    """

    pipeline: str
    revision: str  # of that pipeline, when it was called
    step: str  # of the parent: the one that calls
    member: str
    inputs: tuple[tuple[ObjectRef, str, str], ...]  # (object, name, media type)
    kept: tuple[ObjectRef, ...] = ()  # made for this child alone: of no use once it has ended

    def id(self, parent: str) -> str:
        """The id of its run below the run `parent`: the same at every repeat."""
        return derive(parent, self.step, self.pipeline, self.revision, self.member)

    @property
    def size(self) -> int:
        """Bytes that it works on."""
        return sum(ref.size for ref, _, _ in self.inputs)


@dataclass(frozen=True, slots=True)
class Call:
    """Children that a leased run calls for. `id` tells the calls of a run apart: its steps, revisions and replays."""

    run: str
    token: int
    id: str
    children: tuple[Child, ...]


@dataclass(frozen=True, slots=True)
class Clash:
    """Two children, by member or pipeline, have delivered different bytes under one name: what came first is replaced."""

    destination: str
    key: str
    one: str
    other: str


@dataclass(frozen=True, slots=True)
class Family:
    """What became of the children of one call."""

    pending: int  # have not ended
    transferred: int
    failed: int
    quarantined: int
    incomplete: int = 0  # of those transferred: they went on without children of their own
    troubles: tuple[tuple[str, Status, str], ...] = ()  # (member or pipeline, status, error) of the first that have one
    delivered: tuple[Delivered, ...] = ()  # by the first of them
    clash: Clash | None = None  # the first that there is
    unnamed: int = 0  # deliveries of theirs beside those in `delivered`

    @property
    def count(self) -> int:
        """How many there are."""
        return self.pending + self.transferred + self.failed + self.quarantined


@dataclass(frozen=True, slots=True)
class Run:
    """A claimed run. `token` fences a stale worker; `deadline` (epoch s) is when others may take over."""

    id: str
    arrival: Arrival
    token: int
    deadline: float
    tries: int  # failures of its own so far
    crashes: int  # crashes while it ran alone
    solo: bool  # claimed alone, because it ran when a lease expired
    checkpoint: Checkpoint | None = None
    replays: int = 0  # how often it was started again from the beginning
    child: Child | None = None  # of the run that called for it; None: the file's own, which the router sends on its way


@dataclass(frozen=True, slots=True)
class Lease:
    """A hold on a run, as `extend` and `release` need it; `checkpoint` is what `extend` is to record with it."""

    run: str
    token: int
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run did not succeed, in words for people and a code for machines."""

    code: str
    message: str
    step: str = ""  # "" where no step was at fault


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step as it ran."""

    name: str
    uses: str  # "gzip@1": the step and its version
    seconds: float
    outcome: str  # ok, skipped, rejected, transient, error


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of a claimed run; `settle` records it if the token is still the latest.

    DONE with TRANSFERRED (and a failure, where it went on without children that did not succeed); DEAD with FAILED or QUARANTINED;
    READY with a time `due` (a retry; adds one to tries if it `counts`);
    WAITING with UPLOADED (no pipeline matched), with QUEUED (its pipeline is paused), or with PROCESSING (until its children have ended).
    """

    run: str
    token: int
    state: State
    status: Status
    pipeline: str = ""
    revision: str = ""
    failure: Failure | None = None
    due: float | None = None  # epoch s
    counts: bool = True  # False: no fault of this file's, our disk is full; its tries stay as they are
    steps: tuple[StepRecord, ...] = ()
    delivered: tuple[Delivered, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    unnamed: int = 0  # deliveries of child runs beside those in `delivered`


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a file's history. `hash` = SHA-256 over the previous hash and this line: the chain cannot be edited."""

    file_id: str
    n: int  # 1, 2, 3... within the file
    at: float  # epoch s, UTC
    kind: str
    data: Mapping[str, Any]
    hash: str  # hex


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What is known of a file now. The first eleven names are public everywhere: API, JSON, CSV, reports, DynamoDB."""

    file_id: str
    source_bucket: str
    destination_bucket: str
    key: str
    customer_id: str
    upload_timestamp: float  # epoch s, UTC
    transfer_timestamp: float | None
    status: Status
    error_message: str
    version: str
    size: int  # bytes
    sha256: str
    attempts: int
    pipeline: str
    revision: str
    manifest_id: str
    media_type: str
    source: str
    user: str
    state: State  # of its run
    due: float | None = None  # when a retry comes, or the lease of the worker ends; epoch s
    delivered: tuple[Delivered, ...] = ()
    delivered_in_all: int | None = None  # None: nothing, or an earlier version did not tell
    owner: str = ""  # the worker that holds its run, while it is leased
    waits: int = 0  # children of its run that have not ended
    group: str = ""  # of files that are worked on one after another
    behind: str = ""  # the file of its group that it waits for
    purged: float | None = None  # since when its bytes are given up; epoch s

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is under way."""
        return self.state in ENDED and not self.waits

    @property
    def ref(self) -> ObjectRef:
        """Where its bytes are."""
        return ObjectRef(self.source_bucket, self.key, self.version, self.size, self.sha256)


@dataclass(frozen=True, slots=True)
class ChildRecord:
    """What is known of a child run now."""

    id: str
    parent: str
    pipeline: str
    step: str  # of the parent: the one that called it
    member: str
    size: int  # bytes
    state: State
    status: Status
    attempts: int
    error_message: str
    waits: int  # children of its own that have not ended
    due: float | None = None  # when a retry comes, or the lease of the worker ends; epoch s
    owner: str = ""  # the worker that holds it, while it is leased
    revision: str = ""  # of its pipeline
    file_id: str = ""  # of the file that it is done for
    key: str = ""  # of that file
    customer_id: str = ""
    upload_timestamp: float = 0.0  # of that file; epoch s
