"""Commits what sessions have finished: many uploads at a time, in one thread, so that they share their syncs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

from wharfinger.errors import WharfingerError
from wharfinger.ingest import Upload
from wharfinger.model import Arrival
from wharfinger.telemetry import crash

T = TypeVar("T")

GROUP = 64
"""Uploads that are committed together, at most."""

PATIENCE = 0.002
"""Seconds that a group waits, at most, for uploads that are still being written."""

_HINT = 0.001  # s after the answers: they are on their way to the clients, and the next group's arrivals share the hint


class Collector:
    """
    One thread for all that changes facts: uploads in groups, changes of the tree one by one, each in the order they came.

    `land` is `ingest.land`, bound to a store and a ledger; `hint` is told the ids that landed, after the answers were given;
    `writing` says how many uploads are open now: a group waits for them, but never longer than `PATIENCE`.
    """

    def __init__(
        self,
        land: Callable[[Sequence[Upload]], Sequence[Arrival | WharfingerError]],
        *,
        hint: Callable[[Sequence[str]], None],
        writing: Callable[[], int],
    ) -> None:
        self._land, self._hint, self._writing = land, hint, writing
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[asyncio.Future[Any], Upload | Callable[[], Any]] | None] = SimpleQueue()
        self._landed: list[str] = []
        self._thread = Thread(target=self._run, name="collector", daemon=True)
        self._thread.start()

    def land(self, upload: Upload) -> asyncio.Future[Arrival]:
        """Take this upload into custody. The future raises what `ingest.land` answered or raised."""
        return self._submit(upload)

    def call(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run `work` in the thread, after all that was submitted before it."""
        return self._submit(work)

    async def close(self) -> None:
        """Finish what was submitted, then end the thread."""
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _submit(self, work: Upload | Callable[[], Any]) -> asyncio.Future[Any]:
        future = self._loop.create_future()
        self._queue.put((future, work))
        return future

    def _run(self) -> None:
        while True:
            group, more = self._gather()
            uploads = [(future, work) for future, work in group if isinstance(work, Upload)]
            if uploads:
                self._answer([f for f, _ in uploads], self._commit([u for _, u in uploads]))
            for future, work in group:
                if not isinstance(work, Upload):
                    self._answer([future], [_attempt(work)])
            if not more:
                return

    def _gather(self) -> tuple[list[tuple[asyncio.Future[Any], Upload | Callable[[], Any]]], bool]:
        """What is to be done next, and whether more may follow."""
        group = []
        item = self._queue.get()
        until = monotonic() + PATIENCE
        while item is not None:
            group.append(item)
            if len(group) == GROUP or not isinstance(item[1], Upload):
                return group, True
            try:
                wait = until - monotonic() if self._writing() > len(group) else 0
                item = self._queue.get(timeout=wait) if wait > 0 else self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _commit(self, uploads: Sequence[Upload]) -> Sequence[Any]:
        try:
            return self._land(uploads)
        except Exception as exc:  # the server outlives a group; each of its clients is told
            return [exc] * len(uploads)

    def _answer(self, futures: Sequence[asyncio.Future[Any]], answers: Sequence[Any]) -> None:
        self._loop.call_soon_threadsafe(self._settle, futures, answers)

    def _settle(self, futures: Sequence[asyncio.Future[Any]], answers: Sequence[Any]) -> None:
        for future, answer in zip(futures, answers):
            if future.cancelled():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        landed = [answer.file_id for answer in answers if isinstance(answer, Arrival)]
        if landed and not self._landed:
            self._loop.call_later(_HINT, self._tell)
        self._landed += landed

    def _tell(self) -> None:
        crash.point("intake.acknowledged")
        landed, self._landed = self._landed, []
        self._hint(landed)


def _attempt(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as exc:  # whoever asked for the work is told
        return exc
