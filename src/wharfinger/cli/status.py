"""`wharf status`: the whole in figures, what waits longest and why, and what wants a person."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from wharfinger.cli import public
from wharfinger.cli.files import remark, row
from wharfinger.cli.frame import Verb
from wharfinger.cli.outdated import outdated
from wharfinger.cli.select import Selection
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import document, fields, say
from wharfinger.cli.words import many, number, size, span, stamp
from wharfinger.ingest.account import accounts
from wharfinger.ingest.rebuild import lost
from wharfinger.ledger import Counts, Filter
from wharfinger.model import FileRecord, State, Status
from wharfinger.store.space import disks

_AT_WORK = (State.READY, State.LEASED)
WAITING = (Status.UPLOADED, Status.QUEUED, Status.PROCESSING)
"""What a file may be called while its run is ready."""


@click.command(cls=Verb)
@pass_session
def command(session: Session) -> None:
    """Show the whole in figures, and what wants you.

    Files by status, the backlog, what waits longest and why, files that no pipeline takes, dead letters, free disk.
    """
    now = time.time()
    counts = session.database.catalog.counts()
    found = _document(session, counts, now)
    if session.json:
        document(found)
        return
    fields(_lines(found, now))
    for advice in _advice(session, counts, found):
        say(advice)


def _document(session: Session, counts: Counts, now: float) -> dict[str, Any]:
    from wharfinger import app

    oldest = _oldest(session, counts)
    room = disks(app.store_path(session.place), session.place.data)
    free = next(iter(room.values()))  # where the store is
    sources = accounts(session.place.data)
    return {
        "at": stamp(now),
        "files": {str(status): counts.files.get(status, 0) for status in Status},
        "partial": sum(1 for _ in session.database.namespace.partials(before=now)),
        "bytes": counts.bytes,
        "purged": counts.purged,
        "purged_bytes": counts.purged_bytes,
        "purging": counts.purging,
        "backlog": sum(runs.get(state, 0) for runs in (counts.runs, counts.children) for state in _AT_WORK),
        "leased": counts.runs.get(State.LEASED, 0) + counts.children.get(State.LEASED, 0),
        "unrouted": counts.unrouted,
        "held": counts.held,
        "behind": counts.runs.get(State.BEHIND, 0),
        "holders": [public.file(record) for record in session.database.catalog.holders()],
        "paused": sorted(session.database.gates.paused()),
        "dead": counts.runs.get(State.DEAD, 0),
        "incomplete": counts.incomplete,
        "serves": app.is_served(session.place),
        "outdated": outdated(session) is not None,
        "unaccounted": sum(source.unaccounted for source in sources),
        "sources": [public.account(source) for source in sources],
        "oldest_waiting_s": None if counts.oldest_ready is None else round(now - counts.oldest_ready, 3),
        "oldest_waiting": oldest and row(session, oldest),
        "data": str(session.place.data),
        "disks": [{"path": str(path), "free_bytes": free} for path, free in room.items()],
        "free_bytes": free,
        "min_free_bytes": session.place.min_free,
        "takes_uploads": free >= session.place.min_free,
    }


def _is_dead(session: Session, status: Status) -> bool:
    """Whether there is a dead letter of this status whose bytes are there."""
    dead = Selection(Filter(status=status, is_kept=True), dead=True)
    return next(dead.files(session.database.catalog), None) is not None


def _oldest(session: Session, counts: Counts) -> FileRecord | None:
    """The file that has waited for longest; the ledger tells its time, the list finds it."""
    if counts.oldest_ready is None:
        return None
    until = counts.oldest_ready + 0.001
    pages = [session.database.catalog.files(Filter(status=status, until=until), limit=10) for status in WAITING]
    waiting = [record for page in pages for record in page if record.state in (State.READY, State.BEHIND)]
    return min(waiting, key=lambda record: record.upload_timestamp, default=None) or _oldest_parent(session, until)


def _oldest_parent(session: Session, until: float) -> FileRecord | None:
    """The file for which a child run has been ready for longest."""
    catalog = session.database.catalog
    filters = [Filter(status=status, until=until) for status in WAITING if status is not Status.UPLOADED]
    ready = [child for filter in filters for child in catalog.unsettled(filter, state=State.READY, limit=10)]
    oldest = min(ready, key=lambda child: child.upload_timestamp, default=None)
    return catalog.file(oldest.file_id) if oldest else None


def _lines(found: dict[str, Any], now: float) -> Iterator[tuple[str, str]]:
    for status, count in (found["files"] | {"partial": found["partial"]}).items():
        if count or status == Status.TRANSFERRED:
            yield status, number(count)
    yield "in all", f"{number(sum(found['files'].values()))}, {size(found['bytes'])}"
    if found["purged"]:
        yield "purged", f"{number(found['purged'])}, {size(found['purged_bytes'])}; records stay"
    leased = f", {number(found['leased'])} of them with a worker" if found["leased"] else ""
    yield "backlog", number(found["backlog"]) + leased
    if found["behind"]:
        yield "in groups", f"{many(found['behind'], 'file')} behind others"
    if found["oldest_waiting_s"] is not None:
        oldest = found["oldest_waiting"]
        why = f": {oldest['key']}: {remark(oldest, now)}" if oldest else ""
        yield "oldest waiting", span(found["oldest_waiting_s"]) + why
    if found["paused"]:
        yield "paused", f"{', '.join(found['paused'])}; {many(found['held'], 'run')} held"
    yield "unrouted", number(found["unrouted"])
    yield "dead letters", number(found["dead"])
    if found["incomplete"]:
        yield "incomplete", f"{number(found['incomplete'])}, transferred without some of the child runs they called"
    if found["sources"]:
        yield "unaccounted", number(found["unaccounted"])
    store, *others = (f"{size(disk['free_bytes'])} at {disk['path']}" for disk in found["disks"])
    yield "free disk", f"{store}; uploads are refused below {size(found['min_free_bytes'])}"
    yield from (("free disk", other) for other in others)


def _advice(session: Session, counts: Counts, found: dict[str, Any]) -> Iterator[str]:
    if lost(session.store, session.database.catalog, session.place.bucket):
        yield "the ledger knows none of the oldest files in the store; bring it back: wharf ledger rebuild --missing"
    elif not any(counts.files.values()):
        yield "no files yet; send one by SFTP while wharf serve runs, or: wharf put FILE"
    if old := outdated(session):
        yield str(old)
    if found["backlog"] and not found["serves"]:
        yield f"nothing serves here, with {many(found['backlog'], 'run')} in line: wharf serve"
    if found["unrouted"]:
        yield f"{many(found['unrouted'], 'file')} fit no pipeline: wharf files --unrouted, then wharf route explain ID"
    if found["paused"]:
        yield f"paused: {', '.join(found['paused'])}; to go on: wharf resume {' '.join(found['paused'])}"
    for holder in found["holders"]:
        yield (
            f"{holder['key']} is {holder['status']} and holds up its group {holder['group']}: "
            f"wharf replay {holder['file_id']}, or wharf cancel {holder['file_id']}"
        )
    if found["dead"]:
        yield f"{many(found['dead'], 'dead letter')}; which and why: wharf files --dead"
        if _is_dead(session, Status.FAILED):
            yield "what failed may be tried again: wharf replay --dead --status failed"
        if _is_dead(session, Status.QUARANTINED):
            yield "what is quarantined has the fault that its error tells of: where it is the bytes, tell the senders"
    if found["incomplete"]:
        without = many(found["incomplete"], "file")
        yield f"{without} transferred without some child runs: wharf files --incomplete, then wharf replay ID, or tell the senders"
    if found["unaccounted"]:
        yield f"{many(found['unaccounted'], 'file')} in the sources unaccounted for: wharf reconcile"
    for source in found["sources"]:
        if source["error"]:
            yield f"source {source['source']} could not be looked at: {source['error']}"
    if not found["takes_uploads"]:
        yield "uploads are refused until there is more room on the disk"
