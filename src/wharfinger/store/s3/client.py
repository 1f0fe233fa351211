"""
What is asked of the service: objects under keys below the store's prefix. The only module that knows obstore.

Busy answers (429, 5xx) and broken connections are asked again, with growing random pauses, by obstore where that is harmless by itself and
here where it is not. What remains after that is Unreachable. No error repeats the service's words but for their code, because these may
name a key or a token.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store as Remote

from wharfinger.errors import ConfigError, NotFound, StoreError, Unreachable
from wharfinger.store.s3.address import Address
from wharfinger.store.s3.profile import provider

T = TypeVar("T")

PART = 16 << 20
"""Bytes of a part of a large object; more where it would have over 10,000 parts (AmazonS3/latest/userguide/qfacts.html)."""

PARTS = 10_000
AT_ONCE = 4
"""Parts under way for one large object."""

PAGE = 1000
"""Keys in one answer to a listing."""

ANSWER_S = 60.0
"""A request that takes longer is given up: a part has to get through in this time."""

PATIENCE_S = 20.0
"""After so long, nothing is asked again."""

PAUSE_S = 0.1
"""Longest pause before the second try; each further one may be twice as long."""

_CODE = re.compile(r"<Code>(\w{1,64})</Code>|\(code: (\w{1,64})\)$", re.MULTILINE)
"""Of an answer that is an error; of one object among those that were to be deleted."""

_STATUS = re.compile(r"status: (\d{3})")


class Taken(Exception):
    """Something lies under the key already."""


@dataclass(frozen=True, slots=True)
class Found:
    """What lies under a key."""

    size: int  # bytes
    sha256: str  # hex, as whoever put it said; "" where nobody did


class Client:
    """One bucket, or a prefix of it. Threads may share an instance; it must not be shared over a fork."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._prefix = f"{address.prefix}/" if address.prefix else ""
        options: dict[str, Any] = {
            name: value for name, value in (("endpoint", address.endpoint), ("region", address.region)) if value
        }
        try:
            self._remote = Remote(
                address.bucket,
                checksum_algorithm="SHA256",
                credential_provider=provider(os.environ),
                client_options={
                    "allow_http": not address.endpoint.startswith("https://"),
                    "connect_timeout": timedelta(seconds=5),
                    "timeout": timedelta(seconds=ANSWER_S),
                },
                retry_config={
                    "max_retries": 8,
                    "retry_timeout": timedelta(seconds=PATIENCE_S),
                    "backoff": {
                        "init_backoff": timedelta(seconds=PAUSE_S),
                        "max_backoff": timedelta(seconds=5),
                        "base": 2,
                    },
                },
                **options,
            )
        except BaseError as exc:
            raise ConfigError(
                f"store: {address} cannot be used: {type(exc).__name__}",
                fix="look at the endpoint, the region, and the AWS_ variables of the environment",
            ) from None

    def __str__(self) -> str:
        return str(self.address)

    def create(self, key: str, data: bytes, sha256: str) -> None:
        """Put these bytes where nothing lies yet. Raises Taken where something does: perhaps this very request's earlier try."""
        attributes = {"sha256": sha256}

        def put() -> None:
            obstore.put(
                self._remote, self._prefix + key, data, attributes=attributes, mode="create", use_multipart=False
            )

        self._insist(f"{key} could not be put", put)

    def write(self, key: str, data: bytes) -> None:
        """Put these bytes, whatever lies there."""
        self._insist(
            f"{key} could not be written",
            lambda: obstore.put(self._remote, self._prefix + key, data, use_multipart=False),
        )

    def upload(self, key: str, size: int, sha256: str, pieces: Callable[[], Iterator[bytes]]) -> None:
        """
        Put a large object in parts; it is there when all have come. What `pieces` raises ends the upload and is raised here, unless the
        service is at fault: then they are asked for again.
        """
        attributes = {"sha256": sha256}
        part = max(PART, -(-size // PARTS))
        failed: list[Exception] = []

        def sent() -> Iterator[bytes]:
            try:
                yield from pieces()
            except Exception as exc:
                failed.append(exc)
                raise

        def put() -> None:
            failed.clear()
            try:
                obstore.put(
                    self._remote,
                    self._prefix + key,
                    sent(),
                    attributes=attributes,
                    chunk_size=part,
                    max_concurrency=AT_ONCE,
                )
            except Exception:
                if failed:
                    raise failed[0] from None
                raise

        self._insist(f"{key} could not be uploaded", put)

    def copy(self, source: str, target: str) -> None:
        """Copy an object (up to 5 GiB) within the service. Raises NotFound."""
        self._insist(
            f"{source} could not be copied",
            lambda: obstore.copy(self._remote, self._prefix + source, self._prefix + target),
        )

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """The bytes [start, end) of an object. Raises NotFound."""

        def get() -> bytes:
            if end is None:
                return bytes(obstore.get(self._remote, self._prefix + key).bytes())
            return bytes(obstore.get_range(self._remote, self._prefix + key, start=start, end=end))

        return self._insist(f"{key} could not be read", get)

    def find(self, key: str) -> Found | None:
        """What lies under this key."""

        def head() -> Found:
            result = obstore.get(self._remote, self._prefix + key, options={"head": True})
            return Found(result.meta["size"], str(result.attributes.get("sha256", "")))

        try:
            return self._insist(f"{key} could not be looked up", head)
        except NotFound:
            return None

    def list(self, prefix: str, *, after: str = "") -> Iterator[tuple[str, datetime]]:
        """The keys below the folder `prefix`, in their order, with the time of each; from after the key `after` on."""
        cut = len(self._prefix)
        offset = self._prefix + after if after else None
        with self._asking(f"{prefix} could not be listed"):
            for page in obstore.list(self._remote, self._prefix + prefix, offset=offset, chunk_size=PAGE):
                yield from ((each["path"][cut:], each["last_modified"]) for each in page)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove what lies there, if anything does."""
        if keys:
            self._insist(
                "objects could not be deleted",
                lambda: obstore.delete(self._remote, [self._prefix + key for key in keys]),
            )

    def _insist(self, doing: str, ask: Callable[[], T]) -> T:
        """Ask, and again where the answer was lost; whatever is asked here may be done twice."""
        begun, pause = time.monotonic(), PAUSE_S
        while True:
            try:
                with self._asking(doing):
                    return ask()
            except Unreachable:
                if time.monotonic() - begun > PATIENCE_S:
                    raise
            time.sleep(random.uniform(0, pause))  # noqa: S311 (it spreads load)
            pause *= 2

    @contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        """Turn what obstore raises into an error of ours. Its words are dropped on purpose."""
        try:
            yield
        except FileNotFoundError as exc:
            raise self._absent(doing, str(exc)) from None
        except AlreadyExistsError:
            raise Taken(doing) from None
        except (PermissionDeniedError, UnauthenticatedError) as exc:
            raise self._refused(doing, _code(str(exc)) or "it is not permitted") from None
        except BaseError as exc:
            raise self._failed(doing, str(exc)) from None

    def _absent(self, doing: str, said: str) -> StoreError:
        if _code(said) == "NoSuchBucket":
            fix = "create it (wharf does not), or correct `store:`"
            return StoreError(f"there is no bucket {self.address.bucket!r}", code="NO_BUCKET", fix=fix)
        return NotFound(f"{self}: {doing}: it is not there")

    def _refused(self, doing: str, said: str) -> StoreError:
        fix = "look at the credentials (AWS_ACCESS_KEY_ID or AWS_PROFILE) and at what they may do in the bucket"
        return _internal(StoreError(f"{self}: {doing}: {said}", code="NOT_PERMITTED", fix=fix))

    def _failed(self, doing: str, said: str) -> StoreError:
        status, code = int(found[1]) if (found := _STATUS.search(said)) else 0, _code(said)
        words = f"{self}: {doing}: {' '.join(filter(None, (str(status or 'no answer'), code)))}"
        if status in (401, 403) or code == "AccessDenied":
            return self._refused(doing, code or str(status))
        if not status or status == 429 or status >= 500:
            return Unreachable(words, fix="see that the service is up and can be reached")
        return _internal(StoreError(words))


def _internal(error: StoreError) -> StoreError:
    error.is_internal = True
    return error


def _code(said: str) -> str:
    """The service's word for what went wrong (AmazonS3/latest/API/ErrorResponses.html)."""
    found = _CODE.search(said)
    return found[1] or found[2] if found else ""
