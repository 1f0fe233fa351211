"""`wharf audit`: whether the histories are as they were written, and the signed checkpoints that show it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click

from wharfinger.cli.frame import Verbs
from wharfinger.cli.problem import Exit
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import complain, document, progress, say, unfolding
from wharfinger.cli.words import many, number
from wharfinger.errors import Unproven, UsageError
from wharfinger.ledger import checkpoint as checkpoints
from wharfinger.ledger import signature
from wharfinger.ledger.inspection import Finding, Inspection
from wharfinger.ledger.signature import Signed

SHOWN = 20
"""How many findings are told one by one."""


@click.group(cls=Verbs)
def command() -> None:
    """The histories of files, and the signed checkpoints over them."""


@command.command()
@click.option(
    "--kept",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A checkpoint that `wharf audit checkpoint` printed earlier: it must still be there.",
)
@pass_session
def verify(session: Session, kept: Path | None) -> int:
    """
    Hold all checkpoints, histories and records against each other.

    Found are events and records that were changed, added past the ledger or removed, and checkpoints that are missing or not signed by a
    key of this installation. `wharf serve` may run meanwhile. The first 20 findings are shown, the others counted; with --json all
    are listed, as they are found.
    """
    catalog, audit, holds = session.database.catalog, session.database.audit, session.trust.holds
    known = signature.read(kept.read_bytes()) if kept else None
    _check(known, session)
    if session.json:
        walk = Inspection(catalog, audit, holds, kept=known)
        count = unfolding("findings", (asdict(finding) for finding in walk), partial(_walked, walk))
    else:
        with progress("Auditing", sum(catalog.counts().files.values())) as advance:
            walk = Inspection(catalog, audit, holds, kept=known, advance=advance)
            findings = iter(walk)
            shown, more = [*islice(findings, SHOWN)], sum(1 for _ in findings)
        count = len(shown) + more
        _complain(shown, more)
    whole = f"{many(walk.checkpoints, 'checkpoint')}, {many(walk.files, 'file')} and {many(walk.events, 'event')}"
    say(f"{whole} verified: {many(count, 'finding') if count else 'all is as it was written'}")
    if walk.files and not walk.checkpoints:
        say(
            "no checkpoint is there: histories were held against themselves alone; those of a rebuilt ledger begin at the rebuild"
        )
    return Exit.FAILED if count else Exit.OK


@command.command()
@pass_session
def checkpoint(session: Session) -> None:
    """
    Cover what has happened by a signed checkpoint now, and print the last one.

    Workers make one each minute. Keep what this prints somewhere else: `wharf audit verify --kept` then finds out should later
    somebody rewrite the ledger and the checkpoints with it.
    """
    audit = session.database.audit
    while audit.checkpoint(checkpoints.signer(session.keyring), every_s=0):
        pass
    last = audit.last()
    if last is None:
        raise UsageError("nothing has happened yet: there is no checkpoint", fix="wharf put FILE, or wharf serve")
    if session.json:
        document(signature.read(last.signed).document())
    else:
        sys.stdout.write(last.signed.decode())


def _check(kept: Signed | None, session: Session) -> None:
    if kept and not session.trust.holds(kept):
        raise Unproven(
            f"the kept checkpoint is not signed by a key of this installation ({kept.key})", fix="wharf signing list"
        )


def _walked(walk: Inspection) -> dict[str, Any]:
    return {"checkpoints": walk.checkpoints, "files": walk.files, "events": walk.events}


def _complain(shown: Sequence[Finding], more: int) -> None:
    for finding in shown:
        fix = f"wharf file {finding.file_id}" if finding.file_id else "compare with a backup of the ledger"
        complain(finding.message, code=finding.kind.upper(), fix=fix)
    if more:
        say(f"and {number(more)} more; all of them: wharf audit verify --json")
