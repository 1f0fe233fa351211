"""PUT by signed URL: staged while it is hashed, held against what was promised, and answered when it is in custody."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, TypeVar
from urllib.parse import unquote
from weakref import WeakValueDictionary

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from wharfinger.config.settings import Customer
from wharfinger.errors import Corrupt, NameRefused, NoSpace, WharfingerError
from wharfinger.ingest import Upload, prepare
from wharfinger.ingest.http import ticket
from wharfinger.ingest.http.ticket import Refused, Ticket
from wharfinger.ingest.name import refuse_clash
from wharfinger.ledger import Database
from wharfinger.model import Arrival, file_id
from wharfinger.store import Store
from wharfinger.store.staging import LARGE, Staged, Staging
from wharfinger.telemetry.facts import facts
from wharfinger.telemetry.throttle import Throttle

T = TypeVar("T")

FINISHERS = 2
"""Threads that hash, sync and send large uploads, so that nobody else waits behind them."""

SLOWEST = 1000
"""Bytes a second that a body must come with on average, after a grace of the listener's `idle_s`."""

DRAIN = 1 << 20
"""Bytes of a body that are read away before a refusal: a client that is still sending may not hear an answer otherwise."""

DRAIN_S = 2.0
"""Seconds that this may take."""

UNAVAILABLE = "UNAVAILABLE"
"""The code of an answer for which the uploader is not at fault."""

LONGEST_TOLD = 256
"""Characters of a refused key that the log tells."""

_log = logging.getLogger(__name__)


class Denied(Exception):
    """The answer is an error: an HTTP status, a code for machines, words for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class _Promise:
    """What the request's headers say of its body."""

    size: int | None  # bytes
    md5: bytes | None
    sha256: bytes | None


class Door:
    """Answers requests. `land` takes one upload into custody, as the collector does."""

    def __init__(
        self,
        *,
        secret: bytes,
        bucket: str,
        store: Store,
        database: Database,
        customers: Mapping[str, Customer],
        land: Callable[[Upload], Awaitable[Arrival]],
        min_free: int,
        idle_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret, self._bucket = secret, bucket
        self._store, self._staging = store, Staging(store.staging)
        self._database, self._catalog = database, database.catalog
        self._customers, self._land = customers, land
        self._min_free, self._idle_s, self._clock = min_free, idle_s, clock
        # by file_id, as long as one has it or waits
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._finishers = ThreadPoolExecutor(FINISHERS, thread_name_prefix="http-finish")
        self._refusals = Throttle(_log, "an upload by URL was refused", "more uploads by URL were refused")

    def look(self) -> None:
        """To be called once in a while: the log is told how many refusals were only counted."""
        self._refusals.look()

    def close(self) -> None:
        """End the threads, and tell what is not told yet."""
        self._refusals.close()
        self._finishers.shutdown()

    async def put(self, request: Request) -> Response:
        """Take the body into custody: 201; or tell, by a status and a document, why not."""
        try:
            return await self._put(request)
        except Denied as denied:
            self._tell(denied, request)
            await _drain(request)
            return _document(denied.status, {"error": {"code": denied.code, "message": str(denied)}}, close=True)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody hears it

    def _tell(self, denied: Denied, request: Request) -> None:
        """In the log: but what is told there as an error already, and who has tried nothing, having no signature at all."""
        if denied.code != UNAVAILABLE and request.url.query:
            self._refusals.warn(facts(code=denied.code, why=str(denied), **_story(request)))

    async def _put(self, request: Request) -> Response:
        allowed = self._check(request)
        promise = self._read_headers(request, allowed)
        await self._look_up(self._admit, allowed, promise)
        async with self._staged() as staged:
            await self._receive(request, staged, allowed.max_size, promise)
            size, sha256 = await self._finish(staged)
            async with self._turn(allowed):
                if answer := await self._look_up(self._settled, allowed, size, sha256):
                    return answer
                return await self._take(allowed, staged, size, sha256)

    def _turn(self, allowed: Ticket) -> asyncio.Lock:
        """Of those that use a URL at the same time, one lands, and the next finds what it has landed."""
        return self._turns.setdefault(file_id(self._bucket, allowed.key, allowed.version), asyncio.Lock())

    def _check(self, request: Request) -> Ticket:
        raw, query = request.scope["raw_path"].decode("ascii"), request.scope["query_string"].decode("ascii")
        try:
            key = unquote(raw.removeprefix(ticket.PREFIX), errors="strict")
            allowed = ticket.check(key, query, self._secret, now=self._clock())
        except (Refused, UnicodeDecodeError) as exc:
            words = str(exc) if isinstance(exc, Refused) else "the URL is not valid UTF-8"
            raise Denied(403, "URL_REFUSED", words) from exc
        if allowed.key.partition("/")[0] not in self._customers:
            raise Denied(403, "URL_REFUSED", "the URL is for a customer that there is no more")
        return allowed

    def _read_headers(self, request: Request, allowed: Ticket) -> _Promise:
        headers = request.headers
        if allowed.media_type and headers.get("content-type", "") != allowed.media_type:
            raise Denied(415, "WRONG_TYPE", f"the URL is for content of the type {allowed.media_type}")
        if "content-encoding" in headers:
            raise Denied(415, "WRONG_ENCODING", "a body is taken as it is: send it without Content-Encoding")
        if "content-range" in headers:
            raise Denied(400, "WRONG_RANGE", "a file is taken whole: send it without Content-Range")
        size = headers.get("content-length")
        promise = _Promise(
            int(size) if size is not None else None,
            _digest(headers.get("content-md5"), 16),
            _digest(headers.get("x-amz-checksum-sha256"), 32),
        )
        if promise.size is not None and promise.size > allowed.max_size:
            raise _too_large(allowed.max_size)
        return promise

    def _admit(self, allowed: Ticket, promise: _Promise) -> None:
        try:
            refuse_clash(self._database, allowed.key)
        except NameRefused as exc:
            raise Denied(409, exc.code, str(exc)) from exc
        if shutil.disk_usage(self._store.staging).free - (promise.size or 0) < self._min_free:
            raise _no_room()

    async def _look_up(self, look: Callable[..., T], *args: object) -> T:
        """What `look` answers, in a thread: the ledger and the disk may be slow, or away."""
        try:
            return await asyncio.to_thread(look, *args)
        except (WharfingerError, OSError) as exc:
            raise self._trouble(exc) from exc

    @asynccontextmanager
    async def _staged(self) -> AsyncIterator[Staged]:
        """A file in the making that leaves nothing behind; what landed is out of its way."""
        try:
            staged = self._staging.create()
        except WharfingerError as exc:
            raise self._trouble(exc) from exc
        try:
            yield staged
        except NoSpace as exc:
            raise _no_room() from exc
        except Corrupt as exc:
            raise Denied(409, "URL_USED", "the URL was used for other bytes; ask for another") from exc
        except WharfingerError as exc:
            raise self._trouble(exc) from exc
        finally:
            await asyncio.to_thread(staged.close)
            with suppress(WharfingerError):
                self._staging.discard(staged.id)

    async def _receive(self, request: Request, staged: Staged, most: int, promise: _Promise) -> None:
        """Write and hash the body. Raises Denied where it is not what was promised, or comes too slowly."""
        md5 = hashlib.md5(usedforsecurity=False) if promise.md5 else None
        began, pieces = time.monotonic(), request.stream()
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    piece = await anext(pieces, None)
            except TimeoutError as exc:
                raise Denied(408, "TOO_SLOW", f"nothing came for {self._idle_s:g} s") from exc
            if piece is None:
                break
            if staged.size + len(piece) > most:
                raise _too_large(most)
            staged.write(staged.size, piece)
            if backlog := staged.backlog:
                await asyncio.wait([asyncio.wrap_future(backlog)])
            if md5:
                md5.update(piece)
            if (time.monotonic() - began - self._idle_s) * SLOWEST > staged.size:
                raise Denied(408, "TOO_SLOW", f"less than {SLOWEST} bytes a second came")
        if promise.md5 and md5 and md5.digest() != promise.md5:
            raise Denied(400, "BAD_DIGEST", "the body does not have the Content-MD5 that was promised")
        if promise.sha256 and bytes.fromhex((await self._finish(staged))[1]) != promise.sha256:
            raise Denied(400, "BAD_DIGEST", "the body does not have the x-amz-checksum-sha256 that was promised")

    def _settled(self, allowed: Ticket, size: int, sha256: str) -> Response | None:
        """The answer where the URL was used before: the same for the same bytes."""
        record = self._catalog.file(file_id(self._bucket, allowed.key, allowed.version))
        if record is None:
            return None
        if (record.size, record.sha256) != (size, sha256):
            raise Denied(409, "URL_USED", "the URL was used for other bytes; ask for another")
        if record.purged is not None:
            raise Denied(
                410, "PURGED", "the file was taken into custody, and its bytes are given up since; ask for another URL"
            )
        return _taken(200, record.file_id, allowed, size, sha256)

    async def _take(self, allowed: Ticket, staged: Staged, size: int, sha256: str) -> Response:
        customer = allowed.key.partition("/")[0]
        upload = Upload(
            path=staged.path,
            key=allowed.key,
            version=allowed.version,
            size=size,
            sha256=sha256,
            customer=customer,
            weight=self._customers[customer].weight,
            source="http",
            fd=staged.fd,
            is_repeated=True,
        )
        if size > LARGE:
            upload = await self._aside(prepare, self._store, self._bucket, upload)
        arrival = await self._land(upload)
        return _taken(201, arrival.file_id, allowed, size, sha256)

    async def _finish(self, staged: Staged) -> tuple[int, str]:
        """Size and SHA-256; of a large file in a thread, and durable, so that nobody waits behind it."""
        if staged.size <= LARGE:
            return staged.finish()
        return await self._aside(_finish_large, staged)

    async def _aside(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._finishers, work, *args)

    def _trouble(self, error: Exception) -> Denied:
        """The machine's own trouble is for the log, not for strangers."""
        _log.error("an upload by URL failed", exc_info=error)
        return Denied(503, UNAVAILABLE, "the file is not in custody; send it again later")


def _story(request: Request) -> Mapping[str, str]:
    """Where it came from, and for which file. Never the query: it has the signature."""
    key = request.scope["raw_path"].decode("ascii").removeprefix(ticket.PREFIX)[:LONGEST_TOLD]
    return {"address": request.client.host if request.client else "", "key": key}


def _finish_large(staged: Staged) -> tuple[int, str]:
    finished = staged.finish()
    staged.sync()
    return finished


async def _drain(request: Request) -> None:
    """Read a body of moderate size away. One that waits for a `100 Continue` is never sent."""
    if request.headers.get("expect", "").lower() == "100-continue":
        return
    left = DRAIN
    with suppress(TimeoutError, RuntimeError, ClientDisconnect):  # RuntimeError: it was read to its end
        async with asyncio.timeout(DRAIN_S):
            async for piece in request.stream():
                left -= len(piece)
                if left < 0:
                    return


def _digest(given: str | None, size: int) -> bytes | None:
    if given is None:
        return None
    try:
        digest = base64.b64decode(given, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != size:
        raise Denied(400, "BAD_DIGEST", f"{given!a} is no digest of {size} bytes in base64")
    return digest


def _too_large(most: int) -> Denied:
    return Denied(413, "TOO_LARGE", f"the URL is for at most {most} bytes")


def _no_room() -> Denied:
    return Denied(507, "NO_SPACE", "the server has no room for uploads at the moment; try again later")


def _taken(status: int, id: str, allowed: Ticket, size: int, sha256: str) -> Response:
    told = {"file_id": id, "key": allowed.key, "version": allowed.version, "size": size, "sha256": sha256}
    checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
    return _document(status, told, headers={"ETag": f'"{sha256}"', "x-amz-checksum-sha256": checksum})


def _document(
    status: int, told: Mapping[str, Any], *, headers: Mapping[str, str] | None = None, close: bool = False
) -> Response:
    more = {"Date": formatdate(usegmt=True), **({"Connection": "close"} if close else {})}
    return Response(orjson.dumps(told), status, {**(headers or {}), **more}, media_type="application/json")
