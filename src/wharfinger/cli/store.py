"""`wharf store`: what is in custody, as the store itself tells it."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import click

from wharfinger.cli.frame import Verbs
from wharfinger.cli.problem import Exit
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, complain, listing, progress, say, unfolding
from wharfinger.cli.verify import Comparison
from wharfinger.cli.words import clock, epoch, many, number, plain, size, stamp
from wharfinger.errors import UsageError
from wharfinger.ingest.rebuild import unrecorded
from wharfinger.model import ObjectRef
from wharfinger.store import Listed
from wharfinger.store.verify import Problem

PIECE = 1 << 20  # bytes copied at once

SHOWN = 20
"""How many problems, or objects without a record, are told one by one."""

ON_THE_WAY_S = 3600.0
"""An object that is younger may have an arrival that is about to be recorded."""


@click.group(cls=Verbs)
def command() -> None:
    """The bytes in custody, as the store's own journal describes them."""


@command.command()
@click.argument("prefix", default="")
@click.option("--bucket", default="", metavar="NAME", help="Only this bucket.")
@pass_session
def ls(session: Session, prefix: str, bucket: str) -> None:
    """List the objects whose key begins with PREFIX, oldest first."""
    now = time.time()
    columns = (
        Column("at", "Kept since", lambda row: clock(epoch(row["at"]), now), right=True),
        Column("size", "Size", lambda row: size(row["size"]), right=True),
        Column("ref", "Object", folds=True),
    )
    rows = (_row(listed) for listed in session.store.list(bucket, prefix))
    listing(rows, columns, json=session.json, empty="nothing in custody fits")


@command.command()
@click.argument("ref")
@pass_session
def cat(session: Session, ref: str) -> None:
    """
    Write an object's bytes to stdout.

    REF is BUCKET/KEY#VERSION, as `wharf store ls` shows it, or the id of a file.
    """
    with session.store.open(_find(session, ref)) as source:
        shutil.copyfileobj(source, sys.stdout.buffer, PIECE)


@command.command("verify")
@pass_session
def verify_(session: Session) -> int:
    """
    Compare every object with the journal, and every file of the ledger with its object.

    The first 20 problems are shown, the others counted. With --json all of them are listed, as they are found; the document ends
    with what was compared. Uploads of over an hour ago that the ledger does not know are told too; they are no problem by themselves.
    """
    strays = unrecorded(
        session.store, session.database.catalog, session.place.bucket, before=time.time() - ON_THE_WAY_S
    )
    if session.json:
        found = Comparison(session.store, session.database.catalog)
        problems = unfolding("problems", map(_problem, found), partial(_compared, found, strays))
    else:
        total = sum(listed.ref.size for listed in session.store.list())
        with progress("Verifying", total, bytes=True) as advance:
            found = Comparison(session.store, session.database.catalog, advance)
            each = iter(found)
            first, more = [*islice(each, SHOWN)], sum(1 for _ in each)
        problems = len(first) + more
        _complain(first, more)
    whole = f"{many(found.objects, 'object')} ({size(found.bytes)}) and {many(found.files, 'record')} compared"
    say(f"{whole}: {many(problems, 'problem') if problems else 'all is as it was stored'}")
    _tell_unrecorded(strays)
    return Exit.FAILED if problems else Exit.OK


def _row(listed: Listed) -> dict[str, Any]:
    ref = listed.ref
    return {
        "ref": str(ref),
        "bucket": ref.bucket,
        "key": ref.key,
        "version": ref.version,
        "size": ref.size,
        "sha256": ref.sha256,
        "at": stamp(listed.at),
        "about": dict(listed.about),
    }


def _find(session: Session, text: str) -> ObjectRef:
    name, _, version = text.rpartition("#")
    bucket, _, key = name.partition("/")
    if version and key:
        return ObjectRef(bucket, key, version, 0, "")
    record = session.database.catalog.file(text.upper())
    if record is None:
        fix = "name it BUCKET/KEY#VERSION, as wharf store ls shows it, or by a file's id"
        raise UsageError(f"no object {text!r}", code="NOT_FOUND", fix=fix)
    if record.purged is not None:
        raise UsageError(
            f"the bytes of {record.file_id} were purged", code="PURGED", fix=f"wharf file {record.file_id} tells when"
        )
    return record.ref


def _compared(found: Comparison, strays: Iterable[ObjectRef]) -> dict[str, Any]:
    compared = {"objects": found.objects, "bytes": found.bytes, "files": found.files}
    return compared | {"unrecorded": [str(ref) for ref in strays]}


def _tell_unrecorded(strays: Iterable[ObjectRef]) -> None:
    each = iter(strays)
    first, more = [*islice(each, SHOWN)], sum(1 for _ in each)
    if not first:
        return
    say(f"the ledger does not know {many(len(first) + more, 'upload')}:")
    for ref in first:
        say(f"  {plain(str(ref))}")
    if more:
        say(f"  and {number(more)} more; all of them: wharf store verify --json")
    say("a crash came before they were acknowledged: then nothing need be done")
    say("or the ledger is an old copy: then wharf ledger rebuild --missing records them")


def _complain(first: Sequence[Problem], more: int) -> None:
    for problem in first:
        complain(problem.message, code=problem.kind.upper(), fix=_fix(problem))
    if more:
        say(f"and {number(more)} more; all of them: wharf store verify --json")


def _fix(problem: Problem) -> str:
    """Of an object in a directory: how to bring it back. A backup has it at the same place below `objects/`."""
    _, objects, place = problem.path.rpartition("/objects/")
    if problem.ref and objects and problem.path.startswith("/"):
        backup, here = shlex.quote(f"BACKUP/objects/{place}"), shlex.quote(problem.path)
        return f"cp -pf {backup} {here}; then wharf store verify"
    return problem.path and f"look at {problem.path}"


def _problem(problem: Problem) -> dict[str, Any]:
    ref = str(problem.ref) if problem.ref else None
    return {"kind": problem.kind, "ref": ref, "path": problem.path, "message": problem.message}
