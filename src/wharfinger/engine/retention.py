"""For how long the bytes of files are kept, by the rules of the configuration, and what becomes of those whose time is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from threading import Event

from wharfinger.config import glob
from wharfinger.config.settings import Retention
from wharfinger.engine.purge import Purged, Stays, carry_out, order
from wharfinger.errors import LedgerError, StoreError, WharfingerError
from wharfinger.ledger import MANY, Catalog, Filter, Purges, receipt
from wharfinger.model import FileRecord, Status
from wharfinger.names import nfc
from wharfinger.store import Store
from wharfinger.telemetry.facts import facts
from wharfinger.telemetry.trouble import Trouble

DAY_S = 86400.0

BY = "retention"
"""Who orders it, as histories tell."""

AGAIN_S = 6 * 3600.0
"""What could not be removed is tried again after so long: the journal is told of it each time."""

Rules = Mapping[str, Retention]
"""By name, in the order of the configuration: the first that fits a file decides."""

_log = logging.getLogger(__name__)


def rule_for(record: FileRecord, rules: Rules) -> str | None:
    """The name of the rule that decides on this file; None where its bytes are kept for ever."""
    texts = nfc(record.customer_id), nfc(record.key.partition("/")[2]), nfc(record.pipeline)
    for name, rule in rules.items():
        globs = rule.customer, rule.key, rule.pipeline
        if all(not each or glob.compile(each).fullmatch(text) for each, text in zip(globs, texts)):
            return name
    return None


def kept_s(rule: Retention, status: Status) -> float | None:
    """How long this rule keeps the bytes of a file that has ended so; None: for ever."""
    days = {
        Status.TRANSFERRED: rule.transferred_days,
        Status.FAILED: rule.failed_days,
        Status.QUARANTINED: rule.quarantined_days,
    }.get(status)
    return None if days is None else days * DAY_S


def shortest_s(rules: Rules) -> float | None:
    """The least time that any rule gives; None where all keep everything for ever."""
    times = (kept_s(rule, status) for rule in rules.values() for status in Status)
    return min((each for each in times if each is not None), default=None)


def due(catalog: Catalog, record: FileRecord, rules: Rules, now: float) -> str:
    """The name of the rule by which the time of this file is over at `now` (epoch s); "" where it is not."""
    name = rule_for(record, rules) if record.has_ended and record.purged is None else None
    kept = kept_s(rules[name], record.status) if name else None
    if not name or kept is None or record.upload_timestamp + kept > now:
        return ""
    return name if _end(catalog, record, now) + kept <= now else ""


def _end(catalog: Catalog, record: FileRecord, now: float) -> float:
    """When a file came to its end (epoch s). Where the record does not tell, the history is asked: seldom, for few fail."""
    if record.transfer_timestamp is not None:
        return record.transfer_timestamp
    told = receipt.ended(catalog.events(record.file_id))
    return told.at if told else now


def retain(
    catalog: Catalog,
    purges: Purges,
    store: Store,
    rules: Rules,
    stays: Stays,
    *,
    clock: Callable[[], float] = time.time,
) -> Iterator[Purged]:
    """
    One round: carry out what was ordered and not done, then remove the bytes of every file whose time is over. Yields what went, and after
    each page of files that were looked through, even where nothing did. Of `stays`, and what is raised, see `carry_out`. May be left at any
    time, and run in several processes.
    """
    yield from carry_out(purges, store, stays)
    now, least, after = clock(), shortest_s(rules), ""
    if least is None:
        return
    old = Filter(until=now - least, is_kept=True)  # nothing has ended before it arrived
    while page := catalog.files(old, limit=MANY, after=after):
        after = page[-1].file_id
        _order(purges, [(due(catalog, record, rules, now), record.file_id) for record in page])
        yield Purged(0, 0)
        yield from carry_out(purges, store, stays)


def _order(purges: Purges, files: Sequence[tuple[str, str]]) -> None:
    for rule in sorted({rule for rule, _ in files if rule}):
        order(purges, [file_id for each, file_id in files if each == rule], by=BY, rule=rule)


class Retainer:
    """Goes round after round until `stopped`. Rests for as long as it works, so that nobody waits for it; trouble is told once."""

    def __init__(self, catalog: Catalog, purges: Purges, store: Store, rules: Rules, stopped: Event) -> None:
        self._stays: Stays = {}
        self._try_again_at = 0.0  # by the monotonic clock
        self._round = partial(retain, catalog, purges, store, rules, self._stays)
        self._every_s = min(max((shortest_s(rules) or DAY_S) / 20, 1.0), 3600.0)
        self._stopped = stopped
        self._trouble = Trouble(
            _log, begins="files whose time is over cannot be purged; it is tried again", ends="files are purged again"
        )

    def run(self) -> None:
        """Return when it is stopped: what was ordered by then is done at the next start."""
        while not self._stopped.is_set():
            error: WharfingerError | None = None
            try:
                self._go_round()
                error = next(iter(self._stays.values()), None)
            except (LedgerError, StoreError) as caught:
                error = caught
            self._trouble.tell(error)
            self._stopped.wait(self._every_s)

    def _go_round(self) -> None:
        began = time.monotonic()
        if began >= self._try_again_at:
            self._stays.clear()
            self._try_again_at = began + AGAIN_S
        for done in self._round():
            if done.files:
                _log.info("purged", extra=facts(files=done.files, bytes=done.bytes))
            if self._stopped.wait(time.monotonic() - began):
                return
            began = time.monotonic()
