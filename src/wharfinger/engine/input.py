"""What a step reads: bytes that lie in the store or in scratch, opened when they are first read."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import BinaryIO

from wharfinger.errors import StepError
from wharfinger.model import Arrival, ObjectRef
from wharfinger.store import Store

_PIECE = 1 << 20  # bytes


class Content:
    """Bytes, wherever they lie: in the store as `ref`, else in scratch under `path`."""

    __slots__ = ("_sha256", "path", "ref", "size")

    def __init__(self, size: int, *, ref: ObjectRef | None = None, path: str = "") -> None:
        self.size = size
        self.ref = ref
        self.path = path
        self._sha256 = ref.sha256 if ref else ""

    @property
    def known_sha256(self) -> str:
        """The hash in hex if it costs nothing, else ""."""
        return self._sha256

    def sha256(self, store: Store) -> str:
        """The hash in hex; the bytes are read at most once for it. Raises as `open` does."""
        if not self._sha256:
            with self.open(store) as file:
                self._sha256 = _sha256(file)
        return self._sha256

    def source(self) -> ObjectRef | Path:
        """As a Delivery wants it."""
        return self.ref or Path(self.path)

    def open(self, store: Store) -> BinaryIO:
        """Raises StoreError, or OSError for scratch."""
        return store.open(self.ref) if self.ref else open(self.path, "rb")


class Input:
    """A steps.Reader. The file behind it is opened when it is first read; after `close` that is so again."""

    __slots__ = ("_file", "_store", "arrival", "content", "media_type", "member", "name", "sha256", "size")

    def __init__(
        self, store: Store, arrival: Arrival, content: Content, name: str, media_type: str, member: str = ""
    ) -> None:
        self.arrival = arrival
        self.content = content
        self.name = name
        self.media_type = media_type
        self.member = member
        self.size = content.size
        self.sha256 = content.known_sha256
        self._store = store
        self._file: BinaryIO | None = None

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes from here on; all that are left if it is negative."""
        return self._opened().read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to another place; answers the new one."""
        return self._opened().seek(offset, whence)

    def tell(self) -> int:
        """The place where the next read begins."""
        return self._opened().tell()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self.content.open(self._store)
        return self._file


def arrived(store: Store, arrival: Arrival) -> Input:
    """The file as it came into custody."""
    name = arrival.key.rpartition("/")[2]
    return Input(store, arrival, Content(arrival.size, ref=arrival.ref), name, arrival.media_type)


def made(room: str, path: Path | str) -> Content:
    """What a step has made: a plain file below `room`, a directory given by its real path. Raises StepError."""
    real = os.path.realpath(path)
    if not real.startswith(room + "/") or os.path.islink(path) or not os.path.isfile(real):
        raise StepError("the step's output is no plain file in its scratch directory", code="STEP_ERROR")
    return Content(os.path.getsize(real), path=real)


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
