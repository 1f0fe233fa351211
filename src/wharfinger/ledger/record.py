"""What is known of files, as a catalogue asks for it and reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson

from wharfinger.ledger import Filter, row
from wharfinger.ledger.group import AHEAD
from wharfinger.model import Delivered, FileRecord, State, Status

COLUMNS = f"""
SELECT f.file_id, f.bucket, f.key, f.customer, f.at, r.transferred, r.status, r.error, f.version, f.size, f.sha256,
  r.tries + r.crashes, v.pipeline, v.revision, f.media_type, f.source, f."user", r.state, r.due, r.owner, r.waits,
  r.grp, {AHEAD}, f.purged,
  (SELECT data FROM event WHERE file_id = f.file_id AND kind IN ('transferred', 'failed', 'quarantined', 'cancelled')
   ORDER BY n DESC LIMIT 1)
"""
"""The columns of a record: `f` is its file, `r` the run, `v` the revision."""

OLDEST = """
SELECT (SELECT min(at) FROM run WHERE state IN ('ready', 'behind')),
  (SELECT due FROM run WHERE state = 'leased' AND due IS NOT NULL ORDER BY due LIMIT 1)
"""
"""
When the file of the oldest run arrived that is ready or behind another, and when the first lease ends: each is the first row of a range of
an index, however many runs wait for something else.
"""

NEWEST = "SELECT max(version) FROM file WHERE file_id >= (SELECT substr(max(file_id), 1, 10) FROM file)"
"""Ids begin with the time of their version: the greatest version is among the last millisecond's."""


def is_led_by_status(filter: Filter) -> bool:
    """Whether few files have the status that is asked for, so that the index on it finds them soonest."""
    return filter.status not in (None, Status.TRANSFERRED)


def conditions(
    filter: Filter, at: str, called: bool = False, /, *, name: str, error: str
) -> Iterator[tuple[str, Sequence[Any]]]:
    """
    Each condition with the values for its `?`. `at` is the column that leads, `name` says that a key matches a pattern, `error` that
    an error contains a text. With `called`, pipeline and revision may be those of a child run of the file `f` as well.
    """
    if filter.status:
        yield "r.status = ?", [filter.status]
    if filter.customer:
        yield "f.customer = ?", [filter.customer]
    if filter.since is not None:
        yield f"{at} >= ?", [row.micros(filter.since)]
    if filter.until is not None:
        yield f"{at} < ?", [row.micros(filter.until)]
    if filter.pipeline or filter.revision:
        yield _done_by(filter, called)
    if filter.name:
        yield name, [filter.name]
    if filter.error:
        yield error, [filter.error]


def _done_by(filter: Filter, called: bool) -> tuple[str, Sequence[Any]]:
    asked: dict[str, Sequence[Any]] = {}
    if filter.pipeline:
        asked["{0}.pipeline = ?"] = [filter.pipeline]
    if filter.revision:
        asked["substr({0}.revision, 1, length(?)) = ?"] = [filter.revision] * 2
    own, of_child = (" AND ".join(asked).format(table) for table in ("v", "k"))
    given = [value for values in asked.values() for value in values]
    if not called:
        return own, given
    child = f"SELECT 1 FROM run c JOIN revision k ON k.n = c.revision WHERE c.file = f.file_id AND {of_child}"
    return f"({own} OR EXISTS ({child}))", given * 2


def rest(filter: Filter, after: str) -> Filter:
    """
    The filter of a page after the file `after`, which is within `until`: with a second bound each page would be searched from the end
    of that time on.
    """
    return replace(filter, until=None) if after else filter


def record(found: tuple[Any, ...]) -> FileRecord:
    """The record of a row with the columns COLUMNS."""
    (file_id, bucket, key, customer, at, transferred, status, error, version, size, digest) = found[:11]
    (attempts, pipeline, revision, media_type, source, user, state, due, owner, waits) = found[11:21]
    group, behind, purged, story = found[21:]
    status = Status(status)
    delivered, in_all = _delivered(story) if status.is_final else ((), None)
    return FileRecord(
        file_id=file_id,
        source_bucket=bucket,
        destination_bucket=delivered[0].bucket if delivered else "",
        key=key,
        customer_id=customer,
        upload_timestamp=at / 1_000_000,
        transfer_timestamp=row.seconds(transferred),
        status=status,
        error_message=error,
        version=version,
        size=size,
        sha256=digest.hex(),
        attempts=attempts,
        pipeline=pipeline or "",
        revision=revision or "",
        manifest_id="",
        media_type=media_type,
        source=source,
        user=user,
        state=State(state),
        due=row.seconds(due),
        delivered=delivered,
        delivered_in_all=in_all,
        owner=owner or "",
        waits=waits,
        group=group or "",
        behind=behind or "",
        purged=row.seconds(purged),
    )


def _delivered(story: str | None) -> tuple[tuple[Delivered, ...], int | None]:
    """
    What the event with which the file ended names, and how much it counts; nothing where somebody changed it so that it tells nothing
    any more.
    """
    try:
        told = orjson.loads(story or "{}")
        return row.to_delivered(told.get("delivered", ())), told.get("delivered_in_all")
    except (ValueError, TypeError, AttributeError):
        return (), None
