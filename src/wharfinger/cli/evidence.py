"""`wharf evidence FILE`: all that an outsider needs to check what is said of a file, in one bundle."""

from __future__ import annotations

from pathlib import Path

import click

from wharfinger.cli import choose, public
from wharfinger.cli.frame import Verb
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import document, say
from wharfinger.cli.words import many, size
from wharfinger.errors import Unproven
from wharfinger.ledger import evidence, receipt
from wharfinger.ledger.checkpoint import signer
from wharfinger.ledger.keyring import NAME
from wharfinger.model import Event, FileRecord

LOOKS = 5
"""How often a file is looked at again that goes on while it is looked at."""


@click.command(cls=Verb)
@click.argument("file_id", metavar="FILE")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PATH",
    help="The bundle.  [default: evidence-FILE.zip]",
)
@pass_session
def command(session: Session, file_id: str, output: Path | None) -> None:
    """
    Write all proof of a file into one bundle that anybody can verify offline.

    It is a ZIP file with the record, the receipts, the whole history, the signed checkpoints over it, the public keys, and a script
    that verifies it with nothing but Python: python3 verify.py BUNDLE --key PUBLIC
    """
    record, events = _settled(session, choose.file(session, file_id).file_id)
    found = receipt.receipts(record, events)
    if newer := session.trust.newer():
        said = f"key {newer[-1].id} has replaced this node's: who gets the bundle could not tell that it is yours"
        raise Unproven(
            said, fix=f"make it where `wharf signing list` says that {newer[-1].id} signs, or copy its {NAME}"
        )
    bundle = evidence.bundle(public.file(record), found, events, session.database.audit, session.keyring)
    key = session.keyring.public()[-1]
    evidence.check(bundle, key.public)
    path = output or Path(f"evidence-{record.file_id}.zip")
    path.write_bytes(bundle)
    if session.json:
        document({"path": str(path), "file_id": record.file_id, "events": len(events), "key": key.public})
    say(f"written: {path} ({many(len(events), 'event')}, {size(len(bundle))})")
    say(f"verify it anywhere: unzip {path} verify.py && python3 verify.py {path} --key {key.public}")


def _settled(session: Session, file_id: str) -> tuple[FileRecord, list[Event]]:
    """The file and its history, of one moment, all of it under checkpoints. Raises Unproven where it cannot be."""
    catalog, audit = session.database.catalog, session.database.audit
    for _ in range(LOOKS):
        evidence.cover(audit, signer(session.keyring), file_id)
        events = catalog.events(file_id)
        record = catalog.file(file_id)
        (coverage,) = audit.coverage([file_id])
        if record and events and coverage.n == events[-1].n == len(catalog.events(file_id)):
            return record, events
    raise Unproven(f"the history of {file_id} goes on, or checkpoints do not cover it", fix="wharf audit verify")
