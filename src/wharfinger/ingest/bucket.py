"""
A foreign bucket: partners write into it, and nothing in it is ever changed from here.

An object is known by its key, its ETag, its size and the second of its last change, which listings, looks and answers all tell: its version
is made of them. An object that is there is whole: S3 shows none before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from wharfinger.config import glob
from wharfinger.config import settings as config
from wharfinger.errors import NotFound, SourceError, StoreError
from wharfinger.ingest.source import Found
from wharfinger.model import derive, ulid
from wharfinger.names import key_fault, shown


class Remote(Protocol):
    """The bucket, or a prefix of it. The verbs raise StoreError."""

    def objects(self) -> Iterator[tuple[str, int, str, datetime]]:
        """All that lies there: key, size in bytes, ETag, time of the last change."""
        ...

    def stream(self, key: str, etag: str) -> Iterator[bytes]:
        """The bytes of the object with this ETag. Raises NotFound where another, or none, lies there now."""
        ...


class Bucket:
    """See Source. For one thread."""

    kind = "bucket"
    keeps = True

    def __init__(self, name: str, place: config.Source, remote: Remote) -> None:
        self.name = name
        self._place, self._remote = place, remote
        self._etags: dict[str, str] = {}  # by version, as of the last listing

    def listing(self) -> Iterator[Found]:
        """See Source."""
        etags: dict[str, str] = {}
        with self._telling("the bucket"):
            for key, size, etag, at in self._remote.objects():
                if key and not key.endswith("/") and not self._is_left_alone(key):
                    found = self._found(key, size, etag, int(at.timestamp()))
                    etags[found.version] = etag
                    yield found
        self._etags = etags

    def is_whole(self, found: Found) -> bool:  # noqa: ARG002
        """See Source."""
        return True

    def read(self, found: Found) -> Iterator[bytes]:
        """See Source."""
        size = 0
        with self._telling(shown(found.name)):
            for piece in self._remote.stream(found.name, self._etags[found.version]):
                size += len(piece)
                yield piece
        if size != found.size:
            raise _changed(shown(found.name))

    def release(self, found: Found, sha256: str) -> None:
        """See Source. Originals stay: S3 removes no object only if it is still a given one."""

    def _is_left_alone(self, key: str) -> bool:
        return any(glob.fits(self._place.ignore, part) for part in key.split("/"))

    def _found(self, name: str, size: int, etag: str, at: int) -> Found:
        key = f"{self._place.customer}/{self._place.prefix}{name}"
        return Found(name, key, derive(ulid(at, 0), etag, str(size)), size, at, at, key_fault(key))

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        try:
            yield
        except NotFound as exc:
            raise _changed(what) from exc
        except StoreError as exc:
            raise SourceError(str(exc), code=exc.code, fix=exc.fix) from exc


def _changed(what: str) -> SourceError:
    return SourceError(f"{what} changed while it was taken", code="CHANGED", fix="nothing; it is looked at again")
