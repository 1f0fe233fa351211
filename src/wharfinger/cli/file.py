"""`wharf file ID`: all that is known of one file: its record, why it waits, where it was delivered, its history."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import NamedTuple

import click

from wharfinger.cli import choose, family, public
from wharfinger.cli.frame import Verb
from wharfinger.cli.reason import reason as reasoned
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, document, fields, heading, is_terminal, listing, say
from wharfinger.cli.timeline import CHILD, timeline
from wharfinger.cli.why import Why
from wharfinger.cli.words import dated, number, precise, size, span, stamp
from wharfinger.ledger import chain
from wharfinger.model import ChildRecord, Event, FileRecord, Status

COLUMNS = (
    Column("at", "When", right=True),
    Column("took", "", right=True, style=lambda _: "dim"),
    Column("event", "Event"),
    Column("text", "", lambda row: "\n".join(row["text"]), folds=True),
)


MOST = 40
"""Events of child runs that a terminal shows; of more than these none."""


class Words(NamedTuple):
    """How figures are told to whoever reads."""

    instant: Callable[[float], str]  # epoch s
    moment: Callable[[float], str]  # the same, with milliseconds
    size: Callable[[int], str]  # bytes


IN_PIPE = Words(stamp, stamp, str)


def _at_terminal(now: float) -> Words:
    return Words(dated, lambda at: precise(at, now), _whole)


@click.command(cls=Verb)
@click.argument("file_id", metavar="ID")
@pass_session
def command(session: Session, file_id: str) -> None:
    """Show all that is known of one file.

    Its record, why it waits and until when, where it was delivered, the child runs that its pipelines called, and its
    history with the time each step took. The first 12 characters of an ID will do; that of a child run shows its file.
    """
    asked = choose.run(session, file_id)
    record = asked if isinstance(asked, FileRecord) else choose.file(session, asked.file_id)
    events = session.database.catalog.events(record.file_id)
    nodes = [*family.tree(session.database.catalog, record.file_id)]
    broken = chain.verify(events)
    now = time.time()
    reason = reasoned(session, record, now)
    if session.json:
        document(
            {
                **public.file(record, reason),
                "deliveries": [public.delivery(delivered) for delivered in record.delivered],
                "delivered_in_all": record.delivered_in_all or len(record.delivered),
                "children": [public.child(node.record) for node in nodes],
                "events": [public.event(event) for event in events],
                "chain": {"verified": not broken, "problems": broken},
            }
        )
        return
    if isinstance(asked, ChildRecord):
        of = f" of {asked.member}" if asked.member else ""
        say(f"{asked.id} is a child run of this file: {asked.pipeline}{of}, {asked.status}")
    words = _at_terminal(now) if is_terminal(sys.stdout) else IN_PIPE
    fields(_lines(record, reason, now, words))
    family.show(nodes)
    _history(events, broken, words)
    if reason and reason.next:
        say(f"\nnext: {reason.next}")


def _history(events: Sequence[Event], broken: Sequence[str], words: Words) -> None:
    heading("History" if broken else "History (its chain of hashes is verified)")
    own = [event for event in events if not event.kind.startswith(CHILD)]
    shown = own if len(events) - len(own) > MOST else events
    listing((asdict(line) for line in timeline(shown, words.moment)), COLUMNS, json=False)
    if len(shown) < len(events):
        say(f"and {number(len(events) - len(shown))} events of child runs: wharf --json file ID has all")
    for problem in broken:
        say(f"the history was changed: {problem}")


def _lines(record: FileRecord, reason: Why | None, now: float, words: Words) -> Iterator[tuple[str, str]]:
    yield "file", record.file_id
    yield "key", record.key
    yield "status", str(record.status)
    if record.error_message:
        yield "error", record.error_message
    if reason:
        yield "waits", reason.text
    if reason and reason.until:
        yield "until", f"{words.instant(reason.until)}, {_away(reason.until - now)}"
    yield "customer", record.customer_id
    who = f", user {record.user}" if record.user else ""
    yield "uploaded", f"{words.instant(record.upload_timestamp)} by {record.source or 'unknown'}{who}"
    if record.transfer_timestamp:
        took = span(record.transfer_timestamp - record.upload_timestamp)
        yield "transferred", f"{words.instant(record.transfer_timestamp)}, {took} after it was uploaded"
    if record.purged is not None:
        yield "purged", f"{words.instant(record.purged)}: its bytes are gone, record and history stay"
    yield "size", words.size(record.size)
    yield "type", record.media_type
    yield "sha256", record.sha256
    yield (
        "was in custody" if record.purged is not None else "in custody",
        f"{record.source_bucket}/{record.key}#{record.version}",
    )
    if record.pipeline:
        yield "pipeline", f"{record.pipeline}, revision {record.revision[:12]}"
    yield "attempts", str(record.attempts)
    for delivered in record.delivered:
        yield "delivered", f"{delivered.destination}: {delivered.bucket}/{delivered.key}, {words.size(delivered.size)}"
    if record.status is Status.TRANSFERRED and not record.delivered:
        yield "delivered", "nothing: no step deliver was passed"
    if more := (record.delivered_in_all or len(record.delivered)) - len(record.delivered):
        yield (
            "delivered",
            f"and {number(more)} more, by child runs: wharf --json file {record.file_id} has their events",
        )


def _whole(count: int) -> str:
    return f"{size(count)} ({number(count)} bytes)" if count >= 1000 else size(count)


def _away(seconds: float) -> str:
    return f"in {span(seconds)}" if seconds >= 0 else f"{span(-seconds)} ago"
