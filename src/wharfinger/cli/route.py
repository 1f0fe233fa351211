"""`wharf route`: which pipeline takes a file, and why the others do not."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wharfinger.cli import choose
from wharfinger.cli.frame import Verbs
from wharfinger.cli.outdated import outdated
from wharfinger.cli.problem import Exit
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, answer, document, listing, say
from wharfinger.cli.words import size as in_words
from wharfinger.errors import UsageError
from wharfinger.model import Arrival, FileRecord
from wharfinger.steps.sniff import HEAD, media_type

if TYPE_CHECKING:
    from wharfinger.engine.router import Verdict

COLUMNS = (
    Column("takes", "", lambda row: "takes it" if row["takes"] else "no"),
    Column("pipeline", "Pipeline"),
    Column("reason", "Why", folds=True),
)

UNKNOWN = "application/octet-stream"
"""The type of bytes of which nobody knows what they are (RFC 2046, 4.5.1)."""

_ID = re.compile("[0-9A-HJKMNP-TV-Z]{12,26}")  # see model.base32


@click.group(cls=Verbs)
def command() -> None:
    """Which pipeline takes a file, and why."""


@command.command("explain")
@click.argument("what", metavar="FILE|KEY|ID")
@click.option("--customer", metavar="NAME", help="Whose file it would be; needless where there is only one customer.")
@click.option(
    "--key", metavar="KEY", help="The key under which a local file would arrive.  [default: inbound/ and its name]"
)
@click.option(
    "--size", type=click.IntRange(0), default=0, metavar="BYTES", help="The size of a file that is only named."
)
@click.option("--type", "type_", metavar="TYPE", help="The media type of a file that is only named, such as text/csv.")
@pass_session
def explain_(session: Session, what: str, customer: str | None, key: str | None, size: int, type_: str | None) -> int:
    """
    Say what every pipeline makes of a file: the first that fits takes it.

    The file is one in custody (its ID), one on this machine (a path), or one that is only named (a key such as
    inbound/a.csv, with --size and --type).
    """
    from wharfinger.engine.router import explain

    arrival = _arrival(session, what, customer, key, size, type_)
    verdicts = explain(arrival, session.settings.pipelines)
    taken = next((verdict.pipeline for verdict in verdicts if verdict.fits), None)
    rows = [_row(verdict, taken) for verdict in verdicts]
    if session.json:
        document({**_about(arrival), "pipeline": taken, "pipelines": rows})
    else:
        answer((f"{arrival.key} of {arrival.customer}: {in_words(arrival.size)}, {arrival.media_type}", ""))
        listing(rows, COLUMNS, json=False, empty="there are no pipelines")
    if old := outdated(session):
        say(str(old))
    if taken is None:
        say("no pipeline takes it: it would stay where it is, unrouted, until one does and it is replayed")
    return Exit.OK if taken else Exit.FAILED


def _arrival(
    session: Session, what: str, customer: str | None, key: str | None, size: int, type_: str | None
) -> Arrival:
    if _ID.fullmatch(what.upper()) and not Path(what).exists():
        return _known(choose.file(session, what))
    owner = choose.customer(session, customer)
    local = Path(what)
    if local.is_file():
        with local.open("rb") as file:
            head = file.read(HEAD)
        length = local.stat().st_size
        return _new(session, owner, key or f"inbound/{local.name}", length, type_ or media_type(head, length))
    if "/" not in what:
        fix = "name a local file, a key with its folder such as inbound/a.csv, or a file's id"
        raise UsageError(f"{what!r} is no file here, no key and no id", code="NOT_FOUND", fix=fix)
    assumed = [*([] if type_ else [f"--type {UNKNOWN}"]), *([] if size else ["--size 0"])]
    if assumed:
        say(f"only its name is known; assumed: {' '.join(assumed)}")
    return _new(session, owner, what.removeprefix(f"{owner}/"), size, type_ or UNKNOWN)


def _new(session: Session, customer: str, key: str, size: int, type_: str) -> Arrival:
    return Arrival(session.settings.bucket, f"{customer}/{key}", "", size, "", customer, time.time(), media_type=type_)


def _known(record: FileRecord) -> Arrival:
    return Arrival(
        bucket=record.source_bucket,
        key=record.key,
        version=record.version,
        size=record.size,
        sha256=record.sha256,
        customer=record.customer_id,
        at=record.upload_timestamp,
        media_type=record.media_type,
        source=record.source,
        user=record.user,
    )


def _about(arrival: Arrival) -> dict[str, Any]:
    return {
        "key": arrival.key,
        "customer_id": arrival.customer,
        "size": arrival.size,
        "media_type": arrival.media_type,
    }


def _row(verdict: Verdict, taken: str | None) -> dict[str, Any]:
    takes = verdict.pipeline == taken
    return {
        "takes": takes,
        "fits": verdict.fits,
        "pipeline": verdict.pipeline,
        "reason": f"would fit, but {taken} comes first" if verdict.fits and not takes else verdict.reason,
    }
