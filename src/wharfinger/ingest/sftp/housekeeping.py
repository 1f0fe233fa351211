"""Partial uploads over time: known to the tree while they are written, right after a crash, gone when they expire."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from wharfinger.errors import NotFound, StoreError
from wharfinger.ingest.sftp.intake import Intake
from wharfinger.ingest.sftp.writing import Writing
from wharfinger.ledger import Entry
from wharfinger.store.staging import Staging
from wharfinger.telemetry.trouble import Trouble

TICK = 1.0
"""Seconds. An upload that is open at two ticks in a row is entered into the tree, so that a crash does not lose its beginning."""

ROUND = 3600.0
"""Seconds between two looks for partials that have expired and for staged bytes that nobody knows."""

_ALL = 1e11  # epoch s: before then, for some 3,000 years

_log = logging.getLogger(__name__)


class Housekeeping:
    """
    Small uploads never meet it: only one that is still open after a tick costs a row of the tree, off the hot path. After a
    crash the bytes of the others belong to nobody and are removed.
    """

    def __init__(
        self, intake: Intake, staging: Staging, *, partial_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._intake, self._staging = intake, staging
        self._partial_s = partial_s
        self._clock = clock
        self._seen: set[Writing] = set()  # open at the last tick
        self._unknown: set[str] = set()  # staged ids that had no row in the last round
        self._trouble = Trouble(
            _log,
            begins=f"partial uploads cannot be looked after; tried again every {TICK:g} s",
            ends="partial uploads are looked after again",
        )

    async def run(self) -> None:
        """Tick, and make rounds, until cancelled. Trouble with the ledger or the disk passes; it is logged when it begins and ends."""
        due = 0.0
        while True:
            try:
                await self.tick()
                if time.monotonic() >= due:
                    await self.round()
                    due = time.monotonic() + ROUND
                self._trouble.tell(None)
            except Exception as exc:  # the server outlives it
                self._trouble.tell(exc)
            await asyncio.sleep(TICK)

    async def tick(self) -> None:
        """Enter the uploads that were open at the last tick too."""
        writings = [w for w in self._intake if w.changed and not w.is_marked]
        lasting = [w for w in writings if w in self._seen]
        if lasting:
            await self._intake.mark(lasting)
        self._seen = set(writings)

    async def round(self) -> None:
        """
        Set the sizes of partials right, remove those that have expired, and staged bytes without a row. Partials whose bytes are not
        here may lie on another node: their rows stay until they expire.
        """
        ids = set(await self._intake.aside(self._staging.ids))
        entries = list(self._intake.namespace.partials(before=_ALL))
        for entry in entries:
            await self._intake.collector.call(lambda: self._look_after(entry))  # noqa: B023
        unknown = ids - {entry.staged for entry in entries}
        for id in unknown & self._unknown:  # a row may be on its way: it has one round's time to appear
            await self._intake.aside(self._intake.drop, id)
        self._unknown = unknown

    def _look_after(self, entry: Entry) -> None:
        has_expired = entry.mtime < self._clock() - self._partial_s
        try:
            staged = self._staging.resume(entry.staged)
        except NotFound:
            if has_expired:
                self._remove(entry)
            return
        except StoreError:  # a session is writing it
            return
        staged.close()
        if not staged.size or has_expired:
            self._remove(entry)
            self._staging.discard(entry.staged)
        elif staged.size != entry.size:
            self._intake.namespace.make([replace(entry, size=staged.size)])

    def _remove(self, entry: Entry) -> None:
        found = self._intake.namespace.look([entry.path])[0]
        if found and found.staged == entry.staged:
            self._intake.namespace.remove(entry.path)
