"""Commits what sessions have finished: one thing after another, and many uploads at a time, so that they share their syncs."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from wharfinger.ingest import Answers, Upload
from wharfinger.model import Arrival
from wharfinger.telemetry import crash

T = TypeVar("T")

Waiting = tuple[Upload, "asyncio.Future[Arrival]"]
Change = tuple[Callable[[], Any], "asyncio.Future[Any]"]

HandOver = Callable[[Sequence[Upload]], Awaitable[Answers]]
"""Takes a group into custody, as `ingest.land` does."""

GROUP = 64
"""Uploads that are committed together, at most; also changes that are made in one turn."""

PATIENCE = 0.002
"""Seconds that a group waits, at most, to become half as large as the one before."""

_HINT = 0.001  # s after the answers: they are on their way to the clients, and the next group's arrivals share the hint


class Queue:
    """Uploads that wait, each customer's in the order they came; customers have their turns, one upload each."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Waiting]] = {}  # by customer; the first has the next turn
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, upload: Upload, future: asyncio.Future[Arrival]) -> None:
        """Put it behind its customer's others."""
        self._waiting.setdefault(upload.customer, deque()).append((upload, future))
        self._size += 1

    def take(self, most: int) -> list[Waiting]:
        """The next ones."""
        taken: list[Waiting] = []
        while self._waiting and len(taken) < most:
            customer = next(iter(self._waiting))
            queue = self._waiting.pop(customer)
            taken.append(queue.popleft())
            if queue:
                self._waiting[customer] = queue  # behind all others
        self._size -= len(taken)
        return taken


class Collector:
    """
    All that changes facts, in one line: groups of uploads, and changes of the tree; where both wait they take turns.

    A group is what came while the one before was committed, so that it is large under load and small where nothing is to be gained by
    waiting; one that is much smaller than the one before waits a little. `land` takes a group; `hint` is told the ids that landed,
    after the answers were given.
    """

    def __init__(self, land: HandOver, *, hint: Callable[[Sequence[str]], None]) -> None:
        self._land, self._hint = land, hint
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="collector")
        self._changes: deque[Change] = deque()
        self._waiting = Queue()
        self._is_uploads_turn = False
        self._enough = 1  # uploads for which a group begins at once
        self._busy: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._landed: list[str] = []

    def land(self, upload: Upload) -> asyncio.Future[Arrival]:
        """Take this upload into custody. The future raises what `ingest.land` answered or raised."""
        future = self._loop.create_future()
        self._waiting.add(upload, future)
        self._arrange()
        return future

    def call(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run `work` in a thread, when all that has begun is done."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._changes.append((work, future))
        self._arrange()
        return future

    async def close(self) -> None:
        """Commit what is waiting, then end."""
        while self._waiting or self._busy:
            self._commit_now()
            if self._busy:
                await asyncio.wait([self._busy])
        self._tell()
        self._thread.shutdown()

    def _arrange(self) -> None:
        """Begin what comes next, or wait a little for a group to grow."""
        if self._busy:
            return
        if self._changes and not (self._waiting and self._is_uploads_turn):
            self._is_uploads_turn = True
            self._begin(self._change([self._changes.popleft() for _ in range(min(GROUP, len(self._changes)))]))
        elif self._changes or len(self._waiting) >= self._enough:
            self._commit_now()
        elif self._waiting and not self._timer:
            self._timer = self._loop.call_later(PATIENCE, self._commit_now)

    def _commit_now(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._waiting and not self._busy:
            self._is_uploads_turn = False
            self._begin(self._commit())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._busy = self._loop.create_task(work)

    def _end(self) -> None:
        self._busy = None
        self._arrange()

    async def _commit(self) -> None:
        """Begins when the loop has run what was ready: with all that came in the same turn."""
        group = self._waiting.take(GROUP)
        self._enough = max(1, len(group) // 2)
        answers = await _outcome(self._land([upload for upload, _ in group]))
        self._end()
        if isinstance(answers, Exception):  # the server outlives a group; each of its clients is told
            answers = [answers] * len(group)
        for (_, future), answer in zip(group, answers):
            _settle(future, answer)
        self._announce([answer.file_id for answer in answers if isinstance(answer, Arrival)])

    async def _change(self, changes: Sequence[Change]) -> None:
        outcomes = await self._loop.run_in_executor(self._thread, _done, [work for work, _ in changes])
        self._end()
        for (_, future), outcome in zip(changes, outcomes):
            _settle(future, outcome)

    def _announce(self, landed: Sequence[str]) -> None:
        if landed and not self._landed:
            self._loop.call_later(_HINT, self._tell)
        self._landed += landed

    def _tell(self) -> None:
        if self._landed:
            crash.point("intake.acknowledged")
            landed, self._landed = self._landed, []
            self._hint(landed)


def _done(changes: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each of them answers or raises."""
    outcomes: list[Any] = []
    for change in changes:
        try:
            outcomes.append(change())
        except Exception as exc:  # likewise
            outcomes.append(exc)
    return outcomes


async def _outcome(work: Awaitable[Any]) -> Any:
    try:
        return await work
    except Exception as exc:  # whoever asked for the work is told
        return exc


def _settle(future: asyncio.Future[Any], outcome: Any) -> None:
    if future.cancelled():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
