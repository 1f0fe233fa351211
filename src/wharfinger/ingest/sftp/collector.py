"""Commits what sessions have finished: many uploads at a time, in one thread, so that they share their syncs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from wharfinger.ingest import Land, Upload
from wharfinger.model import Arrival
from wharfinger.telemetry import crash

T = TypeVar("T")

GROUP = 64
"""Uploads that are committed together, at most."""

PATIENCE = 0.002
"""Seconds that a group waits, at most, to become half as large as the one before."""

_HINT = 0.001  # s after the answers: they are on their way to the clients, and the next group's arrivals share the hint


class Collector:
    """
    One thread for all that changes facts: uploads in groups, and changes of the tree.

    A group is what came while the one before was committed, so that it is large under load and a single file waits for nobody. One that
    is much smaller than the one before waits a little, and the thread goes on by itself if it need not. Other work comes between
    two groups, before all uploads that are still waiting. `hint` is told the ids that landed, after the answers were given.
    """

    def __init__(
        self,
        land: Land,
        *,
        hint: Callable[[Sequence[str]], None],
    ) -> None:
        self._land, self._hint = land, hint
        self._loop = asyncio.get_running_loop()
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="collector", daemon=True)
        self._thread.start()
        self._waiting: deque[tuple[Upload, asyncio.Future[Arrival]]] = deque()
        self._enough = 1  # uploads for which a group begins at once
        self._is_committing = False
        self._timer: asyncio.TimerHandle | None = None
        self._landed: list[str] = []

    def land(self, upload: Upload) -> asyncio.Future[Arrival]:
        """Take this upload into custody. The future raises what `ingest.land` answered or raised."""
        future = self._loop.create_future()
        self._waiting.append((upload, future))
        self._arrange()
        return future

    def call(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run `work` in the thread, after all that it has begun."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._do(work, partial(_settle, future))
        return future

    async def close(self) -> None:
        """Commit what is waiting, then end the thread."""
        while self._waiting or self._is_committing:
            self._begin()
            await self.call(lambda: None)
        self._tell()
        self._work.put(None)
        self._thread.join()

    def _arrange(self) -> None:
        """Begin a group, or wait a little for it to grow."""
        if self._is_committing:
            return
        if len(self._waiting) >= self._enough:
            self._begin()
        elif self._waiting and not self._timer:
            self._timer = self._loop.call_later(PATIENCE, self._begin)

    def _begin(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._waiting and not self._is_committing:
            self._is_committing = True
            self._work.put(self._commit)

    def _commit(self) -> None:
        """In the thread: one group after another, as long as there is enough for one and no other work."""
        goes_on = True
        while goes_on:
            group = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
            answers = _outcome(partial(self._land, [upload for upload, _ in group]))
            self._enough = max(1, len(group) // 2)
            goes_on = len(self._waiting) >= self._enough and self._work.empty()
            self._loop.call_soon_threadsafe(self._committed, [future for _, future in group], answers, goes_on)

    def _committed(self, futures: Sequence[asyncio.Future[Arrival]], answers: Any, goes_on: bool) -> None:
        self._is_committing = goes_on
        self._arrange()
        if isinstance(answers, Exception):  # the server outlives a group; each of its clients is told
            answers = [answers] * len(futures)
        for future, answer in zip(futures, answers):
            _settle(future, answer)
        self._announce([answer.file_id for answer in answers if isinstance(answer, Arrival)])

    def _do(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Run `work` in the thread, then `done` on the loop with what it answered or raised."""
        self._work.put(lambda: self._loop.call_soon_threadsafe(done, _outcome(work)))

    def _run(self) -> None:
        while work := self._work.get():
            work()

    def _announce(self, landed: Sequence[str]) -> None:
        if landed and not self._landed:
            self._loop.call_later(_HINT, self._tell)
        self._landed += landed

    def _tell(self) -> None:
        if self._landed:
            crash.point("intake.acknowledged")
            landed, self._landed = self._landed, []
            self._hint(landed)


def _outcome(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as exc:  # whoever asked for the work is told
        return exc


def _settle(future: asyncio.Future[Any], outcome: Any) -> None:
    if future.cancelled():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
