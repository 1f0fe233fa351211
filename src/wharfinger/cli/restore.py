"""`wharf restore`: a backup, back in an empty place."""

from __future__ import annotations

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

    Nothing may be there; a configuration is brought along where there is none. Interrupted, it goes on when it is called again.
    Files that were acknowledged while the backup was made, after its ledger was copied, are recorded as well. What was in work
    then is done again, and what its destination holds already, byte for byte, is left untouched.
    """
    from wharfinger import app

    snapshot = choose(directory.absolute(), at)
    _bring_configuration(session, snapshot)
    with progress("Restoring", snapshot.bytes, bytes=True) as advance:
        lost = restore_from(snapshot, app.premises(session.settings), seen=advance)
    group = grouping(session.settings.order)
    late = rebuild(session.store, session.database, session.place.bucket, group=group).arrivals
    if session.json:
        found = {"snapshot": snapshot.name, "files": snapshot.files + late, "objects": snapshot.objects, "late": late}
        document({**found, "lost": [str(ref) for ref in lost]})
    say(
        f"{many(snapshot.files + late, 'record')} and {many(snapshot.objects, 'object')} are back, as of {snapshot.name}"
    )
    if late:
        say(f"{many(late, 'file')} of these came while the backup was made: in line again")
    if lost:
        complain(
            f"{many(len(lost), 'object')} are not in the backup, or damaged there",
            code="STORE_LOST",
            fix="wharf store verify",
        )
        return Exit.FAILED
    say("next: wharf doctor, wharf store verify, then wharf serve")
    return Exit.OK


def _bring_configuration(session: Session, snapshot: Snapshot) -> None:
    if not session.config.exists():
        copy_file(snapshot.path / snapshot.configuration, session.config.absolute())
        say(f"the configuration is back as {session.config}")
