"""`wharf put`: takes local files into custody through the same door as every upload."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from wharfinger.cli import choose
from wharfinger.cli.frame import Verb
from wharfinger.cli.problem import Exit, Problem, problem
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, complain, listing, progress, say
from wharfinger.cli.words import many, plain, size
from wharfinger.config.order import grouping
from wharfinger.engine.scratch import Workroom
from wharfinger.errors import LedgerError, NameRefused, NoSpace, UsageError, WharfingerError
from wharfinger.ingest import Upload, land
from wharfinger.ingest.name import refuse_clash
from wharfinger.ledger import MANY
from wharfinger.model import Arrival
from wharfinger.names import key_fault, shown
from wharfinger.store.space import free_space
from wharfinger.store.versions import Versions

Advance = Callable[[float], None]

PIECE = 1 << 20  # bytes read at once
BATCH = 256 << 20  # bytes staged before they are landed together

COLUMNS = (
    Column("file", "File", folds=True),
    Column("size", "Size", lambda row: size(row["size"]), right=True),
    Column("key", "Arrived as", folds=True),
    Column("file_id", "Known as"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A local file and the key it is to arrive under."""

    path: Path
    key: str
    size: int  # bytes


@click.command(cls=Verb)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--customer", metavar="NAME", help="Whose files they are; needless where there is only one customer.")
@click.option(
    "--to",
    default="inbound/",
    show_default=True,
    metavar="PATH",
    help="A folder (ends in /) of the customer, or a name for one file.",
)
@pass_session
def command(session: Session, files: tuple[Path, ...], customer: str | None, to: str) -> int:
    """Take local files into custody.

    It is as if their customer had uploaded them: they are stored, recorded and go through the pipelines.
    """
    owner = choose.customer(session, customer)
    if _is_folder(session, f"{owner}/{to}"):
        to += "/"
    if len(files) > 1 and not to.endswith("/"):
        raise UsageError(f"{many(len(files), 'file')} cannot all be named {to!r}", fix=f"name a folder: --to {to}/")
    wanted = [Wanted(path, f"{owner}/{to}{path.name if to.endswith('/') else ''}", _size(path)) for path in files]
    with progress("Taking into custody", sum(w.size for w in wanted), bytes=True) as advance:
        answers = [answer for batch in _batches(wanted) for answer in _take(session, owner, batch, advance)]
    session.wake([answer.file_id for answer in answers if isinstance(answer, Arrival)])
    return _tell(session, list(zip(wanted, answers)))


def _is_folder(session: Session, key: str) -> bool:
    if key_fault(key):
        return False
    [entry] = session.database.namespace.look([key])
    return entry is not None and entry.kind == "dir"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # it is told with its reason when it is read


def _batches(wanted: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    batch: list[Wanted] = []
    for one in wanted:
        if batch and (len(batch) == MANY or sum(w.size for w in batch) + one.size > BATCH):
            yield batch
            batch = []
        batch.append(one)
    yield batch


def _take(session: Session, customer: str, batch: Sequence[Wanted], advance: Advance) -> list[Arrival | Exception]:
    """Stage each file and land together those that could be staged. What fails is answered: earlier batches are in custody."""
    try:
        with closing(Workroom(session.store.scratch())) as room:
            fresh = Versions(after=session.database.catalog.newest_version())
            staged = [_staged(session, customer, w, Path(room.path) / fresh(), advance) for w in batch]
            landed = iter(_landed(session, [upload for upload in staged if isinstance(upload, Upload)]))
            return [next(landed) if isinstance(one, Upload) else one for one in staged]
    except (OSError, WharfingerError) as error:  # there is no room to stage in, or the ledger cannot be read
        return [error] * len(batch)


def _landed(session: Session, uploads: Sequence[Upload]) -> Sequence[Arrival | WharfingerError]:
    try:
        group = grouping(session.settings.order)
        return land(session.store, session.database.ledger, session.settings.bucket, uploads, group=group)
    except LedgerError as error:
        return [error] * len(uploads)


def _staged(session: Session, customer: str, wanted: Wanted, to: Path, advance: Advance) -> Upload | Exception:
    try:
        _admit(session, wanted, to.parent)
        return _stage(session, customer, wanted, to, advance)
    except (OSError, WharfingerError) as error:  # one file that cannot be read is no reason to leave the others
        return error


def _admit(session: Session, wanted: Wanted, scratch: Path) -> None:
    if why := key_fault(wanted.key):
        raise NameRefused(f"the name {shown(wanted.key)} {why}", fix="name it otherwise: --to inbound/another-name")
    refuse_clash(session.database, wanted.key)
    free = free_space(scratch)
    if free - wanted.size < session.settings.min_free:
        least = size(session.settings.min_free)
        raise NoSpace(
            f"{size(free)} are free at {session.settings.data} and {least} must stay so",
            fix="make room, or lower min_free",
        )


def _stage(session: Session, customer: str, wanted: Wanted, to: Path, advance: Advance) -> Upload:
    digest, count = hashlib.sha256(), 0
    with open(wanted.path, "rb") as source, open(to, "wb") as staged:
        mtime = os.fstat(source.fileno()).st_mtime
        while piece := source.read(PIECE):
            digest.update(piece)
            staged.write(piece)
            count += len(piece)
            advance(len(piece))
    return Upload(
        path=to,
        key=wanted.key,
        version=to.name,
        size=count,
        sha256=digest.hexdigest(),
        customer=customer,
        weight=session.settings.customers[customer].weight,
        source="cli",
        mtime=mtime,
    )


def _tell(session: Session, taken: Sequence[tuple[Wanted, Arrival | Exception]]) -> int:
    """Show what was taken, complain of the rest, and answer the exit code."""
    refused = _refused(taken)
    rows = [_row(wanted, answer) for wanted, answer in taken]
    shown = rows if session.json else [row for row in rows if row["file_id"]]
    if shown:
        listing(shown, COLUMNS, json=session.json)
    for told, paths in refused.items():
        complain("\n  ".join([told.message, *(paths if len(paths) > 1 else ())]), code=told.code, fix=told.fix)
    kept = len(taken) - sum(map(len, refused.values()))
    if not kept:
        return next(iter(refused)).exit
    say(f"{many(kept, 'file')} in custody; what becomes of them: wharf files")
    return Exit.PARTLY if refused else Exit.OK


def _refused(taken: Sequence[tuple[Wanted, Arrival | Exception]]) -> dict[Problem, list[str]]:
    """Each thing that went wrong, once, with the files that it left behind."""
    refused: dict[Problem, list[str]] = {}
    for wanted, answer in taken:
        if isinstance(answer, Exception):
            refused.setdefault(problem(answer), []).append(plain(str(wanted.path)))
    return refused


def _row(wanted: Wanted, answer: Arrival | Exception) -> dict[str, Any]:
    row: dict[str, Any] = {"file": str(wanted.path), "key": wanted.key, "size": wanted.size}
    if isinstance(answer, Arrival):
        return row | {
            "file_id": answer.file_id,
            "size": answer.size,
            "version": answer.version,
            "sha256": answer.sha256,
        }
    told = problem(answer)
    return row | {"file_id": None, "error_code": told.code, "error_message": told.message, "fix": told.fix}
