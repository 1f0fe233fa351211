"""`wharf reconcile --delivered`: is at the destinations what was delivered there?"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wharfinger.cli import public
from wharfinger.cli.chosen import Chosen, take_out_purged
from wharfinger.cli.problem import Exit
from wharfinger.cli.replay import left_alone, run_again
from wharfinger.cli.session import Session
from wharfinger.cli.show import Column, complain, document, listing, say
from wharfinger.cli.words import many, number, plain
from wharfinger.errors import StoreError, Transient, UsageError

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


_ADVICE = "to deliver them again: wharf reconcile --delivered --replay"
_ASK = "ask who put it there; move it away if nobody needs it"


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
    found, away = [], []
    for name in names or known:
        try:
            found.append(_look(session, known[name]))
        except (Transient, StoreError) as exc:  # the others can be looked at all the same
            away.append({"destination": name, "code": exc.code, "error": str(exc), "fix": exc.fix})
        else:
            record(session.place.data, found[-1])
    files = [*dict.fromkeys(each.file_id for holdings in found for each in holdings.findings if each.file_id)]
    again: list[str] = []
    more = _replay(session, files, again) if replay else _ADVICE if files else ""
    if session.json:
        document(_document(found, away, files, again))
    else:
        _tell(found, more)
    for each in away:
        complain(each["error"], code=each["code"], fix=each["fix"])
    if away:
        return Exit.FAILED
    return Exit.PARTLY if _unaccounted(found) else Exit.OK


def _look(session: Session, comparison: Comparison) -> Holdings:
    scratch = session.store.scratch()
    try:
        return comparison.look(session.database.catalog, scratch, time.time())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _replay(session: Session, files: Sequence[str], again: list[str]) -> str:
    """What came of it, in words; `again` takes in which run again."""
    records = (session.database.catalog.file(file_id) for file_id in files)
    there = take_out_purged([Chosen.of(record) for record in records if record], named=False)
    busy: list[str] = []
    run_again(session, there, again, busy)
    said = f"{many(len(again), 'file')} in line again"
    return f"{said}; {left_alone(session, busy)}" if busy else said


def _unaccounted(found: Sequence[Holdings]) -> int:
    return sum(holdings.unaccounted for holdings in found)


def _document(
    found: Sequence[Holdings], away: Sequence[Mapping[str, str]], files: Sequence[str], again: Sequence[str]
) -> Mapping[str, Any]:
    rows = [public.holdings(holdings) for holdings in found]
    return {"unaccounted": _unaccounted(found), "destinations": rows, "away": away, "files": files, "replayed": again}


def _tell(found: Sequence[Holdings], more: str) -> None:
    listing([public.holdings(holdings) for holdings in found], COLUMNS, json=False)
    for holdings in found:
        for line in _complaints(holdings):
            complain(plain(line["message"]), code=line["code"], fix=line["fix"])
    say("; ".join(filter(None, (f"{many(_unaccounted(found), 'name')} unaccounted for", more))))


def _complaints(holdings: Holdings) -> Iterator[dict[str, Any]]:
    for each in holdings.findings[:SHOWN]:
        fix = f"wharf replay {each.file_id}" if each.file_id else _ASK
        text = f"{holdings.destination}: {each.key}: {each.message}"
        yield {"message": text, "code": each.kind.upper(), "fix": fix}
    if more := len(holdings.findings[SHOWN:]):
        text = f"{holdings.destination}: and {number(more)} more"
        yield {"message": text, "code": "MORE", "fix": "all of them: wharf reconcile --delivered --json"}
