"""How files come in. Each module turns one way of sending into `land`, the only door into custody."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from wharfinger.config.order import Grouping, unordered
from wharfinger.errors import Busy, Corrupt, LedgerError, StoreError, WharfingerError
from wharfinger.ledger import MANY, Ledger
from wharfinger.model import Arrival, Group, ObjectRef
from wharfinger.steps.sniff import HEAD, media_type
from wharfinger.store import Put, Store
from wharfinger.telemetry import crash

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is whole in staging and that its sender has finished. `key` begins with the customer's home."""

    path: Path | str  # the staged bytes
    key: str
    version: str  # a ULID: a fresh one, or one that `is_repeated`
    size: int  # bytes
    sha256: str  # hex
    customer: str
    weight: float = 1.0  # of the customer
    source: str = ""
    user: str = ""
    session: str = ""
    mtime: float | None = None  # epoch s
    fd: int | None = None  # an open descriptor of `path`; stays the caller's
    is_prepared: bool = False
    is_repeated: bool = False  # whoever sends it again does so under the same version, perhaps while this one is taken


Answers = Sequence[Arrival | WharfingerError]
"""One for each upload of a group."""

Land = Callable[[Sequence[Upload]], Answers]
"""`land`, bound to a store and a ledger."""


def prepare(store: Store, bucket: str, upload: Upload) -> Upload:
    """Do ahead of `land` what takes long with a large upload: answers what to land. It is not in custody yet. Raises StoreError."""
    ref = ObjectRef(bucket, upload.key, upload.version, upload.size, upload.sha256)
    store.prepare(Put(ref, upload.path, fd=upload.fd))
    return replace(upload, is_prepared=not upload.is_repeated)


def land(
    store: Store,
    ledger: Ledger,
    bucket: str,
    uploads: Sequence[Upload],
    *,
    group: Grouping = unordered,
    clock: Callable[[], float] = time.time,
) -> list[Arrival | WharfingerError]:
    """
    Take these uploads (at most 100) into custody: bytes durable, then arrivals committed. What is answered with an Arrival may
    be acknowledged to its sender; an error means that this one is not in custody: Corrupt also where its version is, with other bytes.
    Where the ledger refuses, its error is raised and the objects are removed again, but for those of repeated uploads: another may
    have landed the same. A crash before the return leaves at most objects that no ledger knows; landing the same upload again is
    harmless. Those of one `group` are worked on in the order of this list.
    """
    if len(uploads) > MANY:
        raise ValueError(f"{len(uploads)} uploads at once; at most {MANY}")
    crash.point("intake.staged")
    now = clock()
    arrivals = [_arrival(bucket, upload, group(upload.customer, upload.key), now) for upload in uploads]
    stored = store.put([Put(a.ref, u.path, about(a), u.fd, u.is_prepared) for a, u in zip(arrivals, uploads)])
    crash.point("intake.stored")
    kept = [a for a, error in zip(arrivals, stored) if error is None]
    try:
        new = ledger.arrive(kept)
    except LedgerError as refusal:
        own = [a for a, u, error in zip(arrivals, uploads, stored) if error is None and not u.is_repeated]
        with suppress(LedgerError, StoreError):  # whatever is in doubt stays: bytes that are not missed do no harm
            _withdraw(store, ledger, own, refusal)
        raise
    crash.point("intake.arrived")
    replaced = _replaced(ledger, [a for a, is_new in zip(kept, new) if not is_new])
    return [error or replaced.get(a.ref) or a for a, error in zip(arrivals, stored)]


def _replaced(ledger: Ledger, known: Sequence[Arrival]) -> Mapping[ObjectRef, Corrupt]:
    """
    What to answer for those of the arrivals `known` to the ledger already that it has with other bytes: the store took these, so they
    lie now where those lay.
    """
    recorded = ledger.digests([a.file_id for a in known]) if known else ()
    found = {
        a.ref: Corrupt(
            f"{a.ref} is in custody with SHA-256 {sha256}, and its object was replaced by one with {a.sha256}",
            fix="run `wharf store verify`, and ask the sender for the file",
        )
        for a, sha256 in zip(known, recorded)
        if sha256 != a.sha256
    }
    for error in found.values():
        _log.error("%s; %s", error, error.fix)
    return found


def _withdraw(store: Store, ledger: Ledger, arrivals: Sequence[Arrival], refusal: LedgerError) -> None:
    """Remove the objects of these arrivals, else a rebuilt ledger would bring in what was refused; but none that is recorded."""
    ids = [a.file_id for a in arrivals]
    known = ledger.knows(ids) if not isinstance(refusal, Busy) else [False] * len(ids)  # Busy: nothing was changed
    store.delete([a.ref for a, is_known in zip(arrivals, known) if not is_known])


def about(arrival: Arrival) -> dict[str, object]:
    """What an object's journal line says of its arrival, so that a ledger can be rebuilt from the store alone."""
    return {
        "file_id": arrival.file_id,
        "customer": arrival.customer,
        "at": arrival.at,
        "media_type": arrival.media_type,
        "source": arrival.source,
        "user": arrival.user,
        "session": arrival.session,
        "cost": arrival.cost,
        "mtime": arrival.mtime,
    }


def _arrival(bucket: str, upload: Upload, group: Group | None, now: float) -> Arrival:
    return Arrival(
        bucket=bucket,
        key=upload.key,
        version=upload.version,
        size=upload.size,
        sha256=upload.sha256,
        customer=upload.customer,
        at=now,
        media_type=media_type(_head(upload), upload.size),
        source=upload.source,
        user=upload.user,
        session=upload.session,
        cost=cost(upload.size, upload.weight),
        mtime=upload.mtime,
        group=group,
    )


def _head(upload: Upload) -> bytes:
    """The beginning of the staged file; nothing where it cannot be read: the store then refuses the file and says why."""
    try:
        if upload.fd is not None:
            return os.pread(upload.fd, HEAD, 0)
        with open(upload.path, "rb", buffering=0) as file:
            return file.read(HEAD)
    except OSError:
        return b""


def cost(size: int, weight: float) -> float:
    """Seconds of a customer's fair share that a file takes: 1 ms, and 1 ms for each MiB, divided by the customer's weight."""
    return (0.001 + 0.001 * size / (1 << 20)) / weight
