"""`wharf backup`: a copy of the ledger and of all that is in files of this machine, made while everything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from wharfinger.cli.frame import Verb
from wharfinger.cli.problem import Exit
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, complain, document, listing, progress, say
from wharfinger.cli.words import many, number, size, stamp
from wharfinger.errors import StoreError
from wharfinger.ingest.backup import Snapshot, read, snapshots
from wharfinger.ingest.backup import back_up as back_up_to


@click.command(cls=Verb)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--list", "listed", is_flag=True, help="Only show the snapshots that are there.")
@pass_session
def command(session: Session, directory: Path, listed: bool) -> int:
    """Back up ledger, store, keys and configuration into DIRECTORY.

    Everything may run meanwhile. Every call makes a snapshot; objects that an earlier one has brought there are not copied
    again. Every file in the snapshot's ledger is looked up among the copied objects, and every object that is copied is held
    against its SHA-256. Interrupted, it leaves the earlier snapshots as they are; call it again.

    A store in a bucket is not copied: the snapshot has the other parts, and the answer names what others must back up, and how.
    """
    if listed:
        return _list(session, directory)
    from wharfinger import app

    settings = session.settings
    premises, copies = app.premises(settings), app.open_copies(settings)
    if copies.occupants():
        app.refuse_lost(session.database, settings)
    total = sum(listed.ref.size for listed in session.store.list()) if premises.has("store") else 0
    with progress("Backing up", total, bytes=True) as advance:
        made = back_up_to(premises, directory.absolute(), copies, seen=advance)
    if session.json:
        document(_row(made))
    say(", ".join([*_parts(made), "keys and configuration"]))
    for left in made.left:
        say(f"not in it: the {left.part}, {left.where}; its backup: {left.by}")
    if made.lost:
        lost = many(made.lost, "object")
        complain(
            f"{lost} could not be copied: not in the store, or damaged", code="STORE_LOST", fix="wharf store verify"
        )
        return Exit.FAILED
    if premises.data in directory.absolute().parents:
        say("it lies in the data directory: what destroys the one destroys the other")
    say(f"snapshot {made.name}; back from it, in an empty place: wharf restore {directory}")
    return Exit.OK


def _parts(made: Snapshot) -> Iterator[str]:
    yield many(made.files, "record")
    if all(left.part != "store" for left in made.left):
        yield f"{many(made.objects, 'object')} ({size(made.bytes)}), {number(made.new)} of them new"


def _list(session: Session, directory: Path) -> int:
    columns = (
        Column("snapshot", "Snapshot"),
        Column("files", "Records", lambda row: number(row["files"]), right=True),
        Column("objects", "Objects", lambda row: number(row["objects"]), right=True),
        Column("bytes", "Bytes", lambda row: size(row["bytes"]), right=True),
        Column("new", "New", lambda row: number(row["new"]), right=True),
        Column("lost", "Lost", lambda row: number(row["lost"]), right=True),
        Column("left", "Not in it", lambda row: ", ".join(each["part"] for each in row["left"])),
    )
    rows, damaged = [], []
    for path in snapshots(directory):
        try:
            rows.append(_row(read(path)))
        except StoreError as error:
            damaged.append(error)
    listing(rows, columns, json=session.json, empty="no snapshot is there")
    for each in damaged:
        complain(str(each), code=each.code, fix=each.fix)
    return Exit.FAILED if damaged else Exit.OK


def _row(snapshot: Snapshot) -> dict[str, object]:
    return {
        "snapshot": snapshot.name,
        "at": stamp(snapshot.at),
        "files": snapshot.files,
        "objects": snapshot.objects,
        "bytes": snapshot.bytes,
        "new": snapshot.new,
        "lost": snapshot.lost,
        "left": [asdict(each) for each in snapshot.left],
    }
