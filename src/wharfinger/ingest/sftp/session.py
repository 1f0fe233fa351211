"""
One SFTP session: requests in, replies out, over any pair of byte streams.

Requests are served in the order they come, most of them at once; what must wait for a disk or a commit is answered when it is
done, and others overtake it. Only a request on a name or handle that something unfinished concerns waits its turn, and with
it all that follows.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import perf_counter
from typing import Protocol, cast

from wharfinger.errors import NotFound, WharfingerError
from wharfinger.ingest.sftp import codec
from wharfinger.ingest.sftp.codec import Code
from wharfinger.ingest.sftp.intake import Intake
from wharfinger.ingest.sftp.sentence import sentence
from wharfinger.ingest.sftp.tree import Tree
from wharfinger.ingest.sftp.verbs import TREE, Later, Refusal, Verbs

MAX_UNFINISHED = 64
"""Requests under way; at the limit nothing more is read from the client."""

MAX_PROMISED = 4 << 20
"""Bytes that READs under way may bring; likewise."""

TURN = 0.005
"""Seconds that a session may hold the event loop before all others have their turn."""

TURN_REPLIES = 256 << 10
"""Bytes of replies, likewise."""

_log = logging.getLogger(__name__)


class Wire(Protocol):
    """The client's side of a session."""

    def write(self, data: bytes) -> None: ...  # noqa: D102
    def pause_reading(self) -> None: ...  # noqa: D102
    def resume_reading(self) -> None: ...  # noqa: D102


class Session:
    """
    Feed it with `receive`; replies go to `wire`. `end` it once, when the client has gone or has said that nothing follows: uploads
    that are open then become partials.
    """

    def __init__(self, tree: Tree, intake: Intake, wire: Wire, *, id: str) -> None:
        self._wire = wire
        self._verbs = Verbs(tree, intake, id)
        self._loop = asyncio.get_running_loop()
        self._decoder = codec.Decoder()
        self._requests: deque[codec.Request] = deque()
        self._replied = 0  # bytes in this turn
        self._unfinished: set[asyncio.Task[None]] = set()
        self._subjects: list[str] = []  # what unfinished requests are about
        self._promised = 0  # bytes that unfinished requests may bring
        self._is_greeted = self._is_congested = self._is_paused = False
        self._turn_end = 0.0  # by perf_counter; 0 before the first request of a turn
        self._is_cut = False  # this turn ended before its work did
        self._moved = asyncio.Event()  # something was finished, or the congestion ended

    @property
    def is_busy(self) -> bool:
        """Whether something that the client asked for is under way."""
        return bool(self._unfinished or self._requests)

    def receive(self, data: bytes) -> None:
        """Serve what the client sent. Raises ProtocolError: then `end` the session."""
        requests = self._decoder.feed(data)
        if requests and not self._is_greeted:
            if not isinstance(requests[0], codec.Init):
                raise codec.ProtocolError("the first packet is no INIT")
            self._is_greeted = True
        self._requests.extend(requests)
        self._turn()

    def congest(self, is_congested: bool) -> None:
        """Say whether the client is slow to take what was sent: then nothing more is served."""
        self._is_congested = is_congested
        self._moved.set()
        self._turn()

    async def end(self) -> None:
        """Finish and answer what was asked for, then let go of all handles. Uploads still open become partials."""
        while self.is_busy:
            self._moved.clear()
            self._turn()
            if self.is_busy:
                await self._moved.wait()
        await self._verbs.release()

    def _turn(self) -> None:
        """Serve until there is nothing left, or no room, or the next request must wait, or the turn is over."""
        while (
            self._requests
            and not self._is_full()
            and not self._must_wait(self._requests[0])
            and not self._is_turn_over()
        ):
            self._serve(self._requests.popleft())
        if self._is_paused != bool(self._requests):
            self._is_paused = not self._is_paused
            (self._wire.pause_reading if self._is_paused else self._wire.resume_reading)()

    def _is_full(self) -> bool:
        return self._is_congested or len(self._unfinished) >= MAX_UNFINISHED or self._promised >= MAX_PROMISED

    def _is_turn_over(self) -> bool:
        self._begin_turn()
        self._is_cut = self._replied >= TURN_REPLIES or perf_counter() >= self._turn_end
        return self._is_cut

    def _begin_turn(self) -> None:
        """A turn is one round of the event loop, however often the session is called in it."""
        if not self._turn_end:
            self._turn_end = perf_counter() + TURN
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._turn_end, self._replied = 0.0, 0
        if self._is_cut:
            self._is_cut = False
            self._turn()
            self._moved.set()

    def _must_wait(self, request: codec.Request) -> bool:
        if not self._subjects:
            return False
        subject = self._verbs.subject(request)
        return subject is not None and (subject in self._subjects or TREE in (subject, *self._subjects))

    def _serve(self, request: codec.Request) -> None:
        try:
            reply = self._verbs.serve(request)
        except Exception as exc:  # the session outlives what one request meets
            reply = _refused(request.id, exc)
        if isinstance(reply, Later):
            self._begin(request.id, reply)
        else:
            self._reply(reply)

    def _begin(self, id: int, later: Later) -> None:
        if later.about is not None:
            self._subjects.append(later.about)
        self._promised += later.size
        self._unfinished.add(self._loop.create_task(self._finish(id, later)))

    async def _finish(self, id: int, later: Later) -> None:
        try:
            reply = await later.work
        except Exception as exc:  # likewise
            reply = _refused(id, exc)
        if later.about is not None:
            self._subjects.remove(later.about)
        self._promised -= later.size
        self._unfinished.discard(cast("asyncio.Task[None]", asyncio.current_task()))
        self._reply(reply)
        self._moved.set()
        self._turn()

    def _reply(self, reply: bytes) -> None:
        self._begin_turn()
        self._replied += len(reply)
        self._wire.write(reply)


def _refused(id: int, exc: Exception) -> bytes:
    """The answer to a request that met an error; what is no error of ours or the system's is logged as well."""
    if isinstance(exc, Refusal):
        return codec.status(id, exc.code, str(exc))
    if isinstance(exc, NotFound):
        return codec.status(id, Code.NO_SUCH_FILE, sentence(exc))
    if isinstance(exc, WharfingerError):
        # FAILURE also for a refused name: of PERMISSION_DENIED rclone hides the sentence
        return codec.status(id, Code.FAILURE, sentence(exc))
    _log.error("a request failed", exc_info=exc)
    return codec.status(id, Code.FAILURE, "the server failed; try again later")
