"""`wharf reconcile --delivered`: is at the destinations what was delivered there?"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from wharfinger.cli import public
from wharfinger.cli.actor import actor
from wharfinger.cli.problem import Exit
from wharfinger.cli.session import Session
from wharfinger.cli.show import Column, complain, document, listing, say
from wharfinger.cli.words import many, number, plain
from wharfinger.errors import UsageError
from wharfinger.ledger import MANY

if TYPE_CHECKING:
    from wharfinger.ingest.delivered import Comparison, Holdings

COLUMNS = (
    Column("destination", "Destination"),
    Column("delivered", "Delivered", right=True),
    Column("listed", "There", right=True),
    Column("taken", "Taken away", right=True),
    Column("missing", "Missing", right=True, style=lambda row: "red" if row["missing"] else ""),
    Column("altered", "Altered", right=True, style=lambda row: "red" if row["altered"] else ""),
    Column("unexpected", "Unexpected", right=True, style=lambda row: "red" if row["unexpected"] else ""),
)

SHOWN = 20
"""How many findings of a destination are told one by one."""


def destinations(session: Session, names: Sequence[str], *, sizes_only: bool, replay: bool) -> int:
    """Compare these destinations, or all; tell, and perhaps replay. The answer is the exit code."""
    from wharfinger import app
    from wharfinger.ingest.delivered import record

    known = app.comparisons(session.settings, session.store, sizes_only=sizes_only)
    if not known:
        raise UsageError("the configuration has no destinations", fix="name one under `destinations:` in wharf.yaml")
    for name in names:
        if name not in known:
            raise UsageError(f"there is no destination {name!r}", fix=f"name one of: {', '.join(known)}")
    found = [_look(session, known[name]) for name in names or known]
    for holdings in found:
        record(session.place.data, holdings)
    files = [*dict.fromkeys(each.file_id for holdings in found for each in holdings.findings if each.file_id)]
    again = _replay(session, files) if replay else []
    _tell(session, found, files, again, is_replayed=replay)
    return Exit.PARTLY if any(holdings.unaccounted for holdings in found) else Exit.OK


def _look(session: Session, comparison: Comparison) -> Holdings:
    scratch = session.store.scratch()
    try:
        return comparison.look(session.database.catalog, scratch, time.time())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _replay(session: Session, files: Sequence[str]) -> list[str]:
    """Which of these run again: not those whose bytes were purged, nor those that are in work."""
    again: list[str] = []
    for start in range(0, len(files), MANY):
        group = files[start : start + MANY]
        again += [file_id for file_id, done in zip(group, session.database.ledger.replay(group, by=actor())) if done]
        session.wake(group)
    return again


def _tell(
    session: Session, found: Sequence[Holdings], files: Sequence[str], again: Sequence[str], *, is_replayed: bool
) -> None:
    unaccounted = sum(holdings.unaccounted for holdings in found)
    rows = [public.holdings(holdings) for holdings in found]
    if session.json:
        document({"unaccounted": unaccounted, "destinations": rows, "files": files, "replayed": again})
        return
    listing(rows, COLUMNS, json=False)
    for holdings in found:
        for line in _complaints(holdings):
            complain(plain(line["message"]), code=line["code"], fix=line["fix"])
    said = f"{many(unaccounted, 'name')} unaccounted for"
    if is_replayed:
        left = len(files) - len(again)
        said += f"; {many(len(again), 'file')} in line again" + (
            f", {number(left)} cannot be replayed now" if left else ""
        )
    elif files:
        said += "; to deliver them again: wharf reconcile --delivered --replay"
    say(said)


def _complaints(holdings: Holdings) -> Iterator[dict[str, Any]]:
    for each in holdings.findings[:SHOWN]:
        fix = (
            f"wharf replay {each.file_id}" if each.file_id else "ask who put it there; move it away if nobody needs it"
        )
        text = f"{holdings.destination}: {each.key}: {each.message}"
        yield {"message": text, "code": each.kind.upper(), "fix": fix}
    if more := len(holdings.findings) - SHOWN if len(holdings.findings) > SHOWN else 0:
        text = f"{holdings.destination}: and {number(more)} more"
        yield {"message": text, "code": "MORE", "fix": "all of them: wharf reconcile --delivered --json"}
