"""`wharf restore`: a backup, back in an empty place."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from wharfinger.cli.frame import Verb
from wharfinger.cli.problem import Exit
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import complain, document, progress, say
from wharfinger.cli.words import many
from wharfinger.config.order import grouping
from wharfinger.ingest.backup import Snapshot, choose
from wharfinger.ingest.backup import restore as restore_from
from wharfinger.ingest.rebuild import rebuild
from wharfinger.store.archive import copy_file


@click.command(cls=Verb)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--at", default="", metavar="NAME", help="This snapshot, as wharf backup --list shows it.  [default: the newest]"
)
@pass_session
def command(session: Session, directory: Path, at: str) -> int:
    """Bring a backup back, where the configuration keeps its data.

    Nothing may be there, nor in a database that is to be the ledger; a configuration is brought along where there is none.
    Interrupted, it goes on when it is called again.
    Files that were acknowledged while the backup was made, after its ledger was copied, are recorded as well. What was in work
    then is done again, and what its destination holds already, byte for byte, is left untouched.

    What the backup leaves to others, a store in a bucket, is not brought back: the answer says how to go on.
    """
    from wharfinger import app

    snapshot = choose(directory.absolute(), at)
    _bring_configuration(session, snapshot)
    with progress("Restoring", snapshot.bytes, bytes=True) as advance:
        premises = app.premises(session.settings)
        lost = restore_from(snapshot, premises, app.open_copies(session.settings), seen=advance)
    late = _record_late(session)
    if session.json:
        found = {"snapshot": snapshot.name, "files": snapshot.files + late, "objects": snapshot.objects, "late": late}
        left = [asdict(each) for each in premises.left]
        document({**found, "lost": [str(ref) for ref in lost], "left": left})
    objects = [many(snapshot.objects, "object")] if premises.has("store") else []
    say(
        f"{', '.join([many(snapshot.files + late, 'record'), *objects, 'keys and configuration'])} are back, as of {snapshot.name}"
    )
    if late:
        say(f"{many(late, 'file')} of these came after its ledger was copied: in line again")
    for each in premises.left:
        say(f"not in the backup: the {each.part}, {each.where}; back by {each.back}")
    if lost:
        complain(
            f"{many(len(lost), 'object')} are not in the backup, or damaged there",
            code="STORE_LOST",
            fix="wharf store verify",
        )
        return Exit.FAILED
    say("next: wharf doctor, wharf store verify, then wharf serve")
    return Exit.OK


def _record_late(session: Session) -> int:
    """Files that the store has, and the ledger's copy does not know."""
    group = grouping(session.settings.order)
    return rebuild(session.store, session.database, session.place.bucket, group=group).arrivals


def _bring_configuration(session: Session, snapshot: Snapshot) -> None:
    if not session.config.exists():
        copy_file(snapshot.path / snapshot.configuration, session.config.absolute())
        say(f"the configuration is back as {session.config}")
