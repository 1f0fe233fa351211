"""Files that are in custody already, taken in through `land` as a listener does, without one."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Sequence

from stand.ours import BUCKET, Wired
from wharfinger.errors import WharfingerError
from wharfinger.ingest import Upload, land
from wharfinger.ledger import MANY
from wharfinger.model import ulid

SIZE = 10_240  # bytes


def fill(wired: Wired, first: int, files: int, *, customer: str = "bench", folder: str = "inbound/directory") -> None:
    """Files number `first` and on of random bytes, one group after the other."""
    for start in range(first, first + files, MANY):
        take_in(wired, range(start, min(start + MANY, first + files)), customer, folder)


def take_in(wired: Wired, numbers: Sequence[int], customer: str = "bench", folder: str = "inbound/directory") -> None:
    """One group of at most MANY."""
    scratch = wired.store.scratch()
    uploads = [_upload(f"{scratch}/{n}", f"{customer}/{folder}/claims_{n:09}.csv", customer) for n in numbers]
    for answer in land(wired.store, wired.database.ledger, BUCKET, uploads):
        if isinstance(answer, WharfingerError):
            raise answer
    shutil.rmtree(scratch)


def _upload(path: str, key: str, customer: str) -> Upload:
    data = os.urandom(SIZE)
    with open(path, "xb") as file:
        file.write(data)
    version = ulid(time.time(), int.from_bytes(os.urandom(10)))
    return Upload(path, key, version, SIZE, hashlib.sha256(data).hexdigest(), customer, source="bench")
