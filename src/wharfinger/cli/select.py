"""Which files a command means: the same options for looking at them and for replaying them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial, wraps
from heapq import merge
from itertools import islice
from typing import Any, Protocol, TypeVar

import click

from wharfinger.ledger import MANY, Catalog, Filter
from wharfinger.model import ChildRecord, FileRecord, State, Status

R = TypeVar("R", bound=FileRecord | ChildRecord)
R_co = TypeVar("R_co", bound=FileRecord | ChildRecord, covariant=True)

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)(?: ago)?")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def moment(text: str) -> float:
    """
    Epoch seconds of an instant: how long ago ("30min", "2h", "3d"), or a date and perhaps a time ("2026-03-01T12:00Z"; local
    unless it has a zone).
    """
    ago = _AGO.fullmatch(text.strip())
    if ago:
        return time.time() - float(ago[1]) * _SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as exc:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
        raise click.BadParameter(f"{text!r} is no time; write 30min, 2h, 3d, {now[:10]} or {now}") from exc


STATUSES: Mapping[State, tuple[Status, ...]] = {
    State.READY: (Status.UPLOADED, Status.QUEUED, Status.PROCESSING),
    State.LEASED: (Status.PROCESSING,),
    State.WAITING: (Status.UPLOADED, Status.QUEUED, Status.PROCESSING),
    State.BEHIND: (Status.UPLOADED, Status.QUEUED),
    State.DONE: (Status.TRANSFERRED,),
    State.DEAD: (Status.FAILED, Status.QUARANTINED),
    State.CANCELLED: (Status.FAILED, Status.QUARANTINED),
}
"""What may be said of a file whose run is in this state: the ledger finds files by their status."""


_INCOMPLETE = "INCOMPLETE: "
"""How the error of a file begins that is transferred nevertheless."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Files by their record, and by what became of their run."""

    filter: Filter
    dead: bool = False
    unrouted: bool = False
    held: bool = False  # wait for a paused pipeline
    state: State | None = None  # of their run
    incomplete: bool = False  # transferred without some of the child runs that they called
    partial: bool = False  # uploads that are not whole yet: no files, they have no record

    @property
    def is_everything(self) -> bool:
        """Whether nothing at all narrows it down."""
        return self == Selection(Filter())

    @property
    def means_partials(self) -> bool:
        """Whether it asks for nothing that an upload cannot have before it is whole."""
        given = self.filter
        kept = Filter(customer=given.customer, name=given.name, since=given.since, until=given.until)
        return self.partial or self == Selection(kept)

    def files(self, catalog: Catalog, *, limit: int | None = None, after: str = "") -> Iterator[FileRecord]:
        """The files, newest first."""
        streams = [_pages(catalog.files, filter, after, limit) for filter in self._filters()]
        found = merge(*streams, key=lambda r: (r.upload_timestamp, r.file_id), reverse=True)
        return islice((record for record in found if self._fits(record)), limit)

    def child_runs(self, catalog: Catalog, *, limit: int | None = None, after: str = "") -> Iterator[ChildRecord]:
        """The child runs that fit and have not ended well, newest files first; after a file's id, from those below it on."""
        if self.unrouted or self.incomplete or self.partial:
            return iter(())
        state = State.DEAD if self.dead else State.WAITING if self.held else self.state
        if state is not self.state and self.state is not None:
            return iter(())
        wanted = {self.filter.status} if self.filter.status else {*Status}
        statuses = wanted & {*STATUSES[state]} if state else wanted
        if self.held:
            statuses &= {Status.QUEUED}
        streams = [
            _pages(partial(catalog.unsettled, state=state), replace(self.filter, status=status), after, limit)
            for status in statuses - {Status.TRANSFERRED, Status.UPLOADED}
        ]
        return islice(merge(*streams, key=lambda r: (r.upload_timestamp, r.file_id, r.id), reverse=True), limit)

    def _filters(self) -> list[Filter]:
        if self.dead and not self.filter.status:
            return [replace(self.filter, status=Status.FAILED), replace(self.filter, status=Status.QUARANTINED)]
        if self.incomplete:
            return [replace(self.filter, status=Status.TRANSFERRED, error=self.filter.error or _INCOMPLETE)]
        if self.unrouted:
            return [replace(self.filter, status=Status.UPLOADED)]
        if self.held:
            return [replace(self.filter, status=Status.QUEUED)]
        if self.state and not self.filter.status:
            return [replace(self.filter, status=status) for status in STATUSES[self.state]]
        return [self.filter]

    def _fits(self, record: FileRecord) -> bool:
        if self.state not in (None, record.state) or self.filter.status not in (None, record.status):
            return False
        if self.incomplete and not (record.status is Status.TRANSFERRED and record.error_message):
            return False
        is_aside = record.state is State.WAITING
        return (not self.dead or record.state is State.DEAD) and (is_aside or not (self.unrouted or self.held))


def in_state(selection: Selection, state: State) -> Selection:
    """Those of the selection whose run is in this state."""
    return replace(selection, state=state)


def selecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that make a Selection, handed to the command as `selection`."""

    @wraps(command)
    def chosen(
        *args: Any,
        customer: str,
        status: str | None,
        pipeline: str,
        revision: str,
        name: str,
        since: float | None,
        until: float | None,
        error: str,
        dead: bool,
        unrouted: bool,
        held: bool,
        incomplete: bool,
        **rest: Any,
    ) -> Any:
        known = Status(status) if status and status != "partial" else None
        filter = Filter(customer, known, pipeline, revision.lower(), name, since, until, error)
        chosen = Selection(filter, dead, unrouted, held, incomplete=incomplete, partial=status == "partial")
        return command(*args, selection=chosen, **rest)

    for option in reversed(_OPTIONS):
        chosen = option(chosen)
    return chosen


_OPTIONS = (
    click.option("--customer", default="", metavar="NAME", help="Only files of this customer."),
    click.option(
        "--status",
        type=click.Choice([*map(str, Status), "partial"]),
        metavar="STATUS",
        help=f"Only files of this status: {', '.join(Status)} or partial.",
    ),
    click.option("--dead", is_flag=True, help="Only dead letters: failed or quarantined."),
    click.option("--unrouted", is_flag=True, help="Only files that no pipeline took."),
    click.option("--held", is_flag=True, help="Only what waits because its pipeline is paused."),
    click.option(
        "--incomplete", is_flag=True, help="Only files transferred without some of the child runs they called."
    ),
    click.option(
        "--pipeline", default="", metavar="NAME", help="Only files that this pipeline took, or was called for."
    ),
    click.option(
        "--revision",
        default="",
        metavar="HASH",
        help="Only files that this revision took, or was called for; its beginning will do.",
    ),
    click.option("--name", default="", metavar="GLOB", help="Only files whose key fits, such as '*/inbound/*.csv'."),
    click.option("--error", default="", metavar="TEXT", help="Only files with this text in their error."),
    click.option("--since", type=moment, metavar="TIME", help="Only files uploaded since: 2h, 3d, 2026-03-01."),
    click.option("--until", type=moment, metavar="TIME", help="Only files uploaded before."),
)


class _Verb(Protocol[R_co]):
    def __call__(self, filter: Filter, /, *, limit: int, after: str) -> Sequence[R_co]: ...


def _pages(verb: _Verb[R], filter: Filter, after: str, limit: int | None) -> Iterator[R]:
    size = MANY if limit is None else min(max(limit, 1), MANY)
    while page := verb(filter, limit=size, after=after):
        yield from page
        if len(page) < size:
            return
        after = identity(page[-1])


def identity(record: FileRecord | ChildRecord) -> str:
    """The id of its run: of a file's own, the file's."""
    return record.id if isinstance(record, ChildRecord) else record.file_id
