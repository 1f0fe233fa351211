"""`wharf purge`: removes the bytes of files for good; records and histories stay."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import click

from wharfinger.cli.actor import actor
from wharfinger.cli.ask import go_ahead
from wharfinger.cli.chosen import COLUMNS, Chosen, find, preview, rows
from wharfinger.cli.frame import Verb
from wharfinger.cli.problem import Exit, problem
from wharfinger.cli.select import Selection, selecting
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import complain, document, listing, progress, say
from wharfinger.cli.words import many, size
from wharfinger.errors import StoreError, UsageError
from wharfinger.ledger import MANY

SHOWN = 20
"""How many files whose bytes stay are told one by one."""


@dataclass(slots=True)
class _Answer:
    """What a purge came to."""

    found: Sequence[Chosen]
    purged: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    stays: dict[str, StoreError] = field(default_factory=dict)
    bytes: int = 0


@click.command(cls=Verb)
@click.argument("ids", metavar="[ID...]", nargs=-1)
@selecting
@click.option("--expired", is_flag=True, help="Only files whose time is over by `retention` of the configuration.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say which files would lose their bytes.")
@pass_session
def command(
    session: Session, ids: tuple[str, ...], selection: Selection, expired: bool, yes: bool, dry_run: bool
) -> int:
    """Remove the bytes of files from the store for good.

    Records, histories and receipts stay, and can be proven as before; so does what was delivered. The files leave the
    senders' trees and cannot be replayed. How many there are, and how large, is said first. A file that has not ended is
    left as it is. Cut off halfway, the next purge does the rest; without any choice it does nothing else. What the store refuses
    to remove is told, and holds up nothing else.
    """
    from wharfinger.engine.purge import carry_out

    if expired and (ids or selection.partial):
        raise UsageError("--expired chooses among files by itself", fix="leave out the ids, or --expired")
    is_cut_off = session.database.catalog.counts().purging and not dry_run
    stays: dict[str, StoreError] = {}
    for done in carry_out(session.database.purges, session.store, stays) if is_cut_off else ():
        say(f"{many(done.files, 'file')}, {size(done.bytes)} purged: an earlier purge was cut off")
    if is_cut_off and not (ids or expired) and selection.is_everything:
        return _tell(session, _Answer([], stays=stays))
    found = _expired(session, selection) if expired else find(session, ids, selection, verb="purge")
    ready = [chosen for chosen in found if chosen.has_ended and not chosen.is_purged]
    unfinished = [chosen.file_id for chosen in found if not chosen.has_ended]
    answer = _Answer(found, unfinished=unfinished, stays=stays)
    say(preview(ready))
    if answer.unfinished:
        say(f"{many(len(answer.unfinished), 'file')} left out: not done with yet")
    if dry_run and not session.json:
        listing(rows(session, ready), COLUMNS, json=False)
        return Exit.OK
    if dry_run or not ready:
        return _tell(session, answer, dry_run=dry_run)
    if not go_ahead(f"Remove the bytes of {many(len(ready), 'file')} for good?", yes=yes):
        say("nothing was purged")
        return Exit.OK
    try:
        _purge(session, ready, answer)
    except KeyboardInterrupt:
        _tell(session, answer)
        return Exit.INTERRUPTED
    return _tell(session, answer)


def _expired(session: Session, selection: Selection) -> list[Chosen]:
    """Those of the selection whose time is over. Raises UsageError where no rule ever says so."""
    from wharfinger.engine.retention import due, shortest_s

    rules, now = session.settings.retention, time.time()
    least = shortest_s(rules)
    if least is None:
        fix = "name a rule: retention: {all: {transferred_days: 90}}"
        raise UsageError("the configuration keeps everything for ever", fix=fix)
    until = min(now - least, selection.filter.until or now)
    old = replace(selection, filter=replace(selection.filter, until=until, is_kept=True))
    catalog = session.database.catalog
    return [Chosen.of(record) for record in old.files(catalog) if due(catalog, record, rules, now)]


def _purge(session: Session, ready: Sequence[Chosen], answer: _Answer) -> None:
    """In groups: what is ordered is done before the next is ordered."""
    from wharfinger.engine.purge import carry_out, order

    purges, store = session.database.purges, session.store
    with progress("Purging", len(ready)) as advance:
        for start in range(0, len(ready), MANY):
            group = ready[start : start + MANY]
            ordered = order(purges, [chosen.file_id for chosen in group], by=actor())
            for _ in carry_out(purges, store, answer.stays):
                pass
            for chosen, is_ordered in zip(group, ordered):
                is_gone = is_ordered and chosen.file_id not in answer.stays
                if not is_ordered:
                    answer.unfinished.append(chosen.file_id)
                elif is_gone:
                    answer.purged.append(chosen.file_id)
                answer.bytes += chosen.size * is_gone
            advance(len(group))


def _tell(session: Session, answer: _Answer, *, dry_run: bool = False) -> int:
    if session.json:
        document(
            {
                "matched": [chosen.file_id for chosen in answer.found],
                "purged": answer.purged,
                "bytes": answer.bytes,
                "unfinished": answer.unfinished,
                "stays": [_told(file_id, error) for file_id, error in answer.stays.items()],
            }
        )
    if answer.purged:
        say(f"{many(len(answer.purged), 'file')} purged, {size(answer.bytes)} removed; records stay")
    _complain(answer.stays)
    if answer.stays:
        return Exit.PARTLY
    if not answer.unfinished or dry_run:
        return Exit.OK
    return Exit.PARTLY if answer.purged else Exit.FAILED


def _complain(stays: Mapping[str, StoreError]) -> None:
    for file_id, error in islice(stays.items(), SHOWN):
        told = problem(error)
        complain(f"the bytes of {file_id} stay: {told.message}", code=told.code, fix=told.fix)
    if stays:
        say(
            f"the bytes of {many(len(stays), 'file')} could not be removed, and are to go: once that is mended, wharf purge"
        )


def _told(file_id: str, error: StoreError) -> dict[str, str]:
    told = problem(error)
    return {"file_id": file_id, "code": told.code, "message": told.message, "fix": told.fix}
