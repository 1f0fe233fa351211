"""`wharf signing`: the keys under which this installation signs receipts and checkpoints."""

from __future__ import annotations

import click

from wharfinger.cli.ask import go_ahead
from wharfinger.cli.frame import Verbs
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, document, listing, say
from wharfinger.errors import UsageError
from wharfinger.ledger import trust
from wharfinger.ledger.keyring import NAME, PublicKey

STYLES = {"signs": "green", "elsewhere": "yellow", "stranger": "red"}

COLUMNS = (
    Column("id", "Key"),
    Column("since", "Since"),
    Column("state", "", style=lambda row: STYLES.get(row["state"], "")),
    Column("public", "Public key", folds=True),
)


@click.group(cls=Verbs)
def command() -> None:
    """The keys that sign receipts and checkpoints."""


@command.command("list")
@pass_session
def list_(session: Session) -> None:
    """
    List the public keys, oldest first: one signs, and what the others signed still holds.

    Further those of other nodes on the same ledger: `elsewhere` is a key that has replaced this node's, `stranger` one that no key here
    vouches for, and that is not trusted.
    """
    here = session.trust
    states = {key.id: "signed" for key in here.own} | {here.own[-1].id: "signs"}
    states |= {key.id: "elsewhere" for key in here.newer()} | {key.id: "stranger" for key in here.strangers()}
    rows = [key.document() | {"state": states[key.id]} for key in (*here.keys, *here.strangers())]
    listing(rows, COLUMNS, json=session.json)


@command.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def rotate(session: Session, yes: bool) -> None:
    """
    Sign with a new key from now on.

    The old key endorses the new one, then its private half is forgotten; receipts that it signed can be checked as before. Running
    servers of this node notice; other nodes trust the new key at once, and sign with it when they have a copy of the file. Hand the
    new public key to whoever keeps the old one: wharf signing list.
    """
    if newer := session.trust.newer():
        said = f"key {newer[-1].id} has replaced this node's already"
        raise UsageError(said, fix=f"copy {NAME} from the node where `wharf signing list` says that it signs")
    before = session.keyring.public()[-1]
    if not go_ahead(f"Replace key {before.id} by a new one? Its private half will be gone.", yes=yes, can_look=False):
        raise click.Abort
    key = trust.rotate(session.keyring, session.database.audit)
    _tell(session, key, f"key {key.id} signs from now on; {before.id} is kept to check what it signed")


@command.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def begin(session: Session, yes: bool) -> None:
    """
    Sign with this node's keys, or a new one, though the ledger is signed with others: those are lost.

    What they signed is no longer trusted here; whoever kept a public key checks it by --key as before. Hand out the new one.
    """
    if not go_ahead(
        "Are the keys lost on every node? What they signed will not be trusted here.", yes=yes, can_look=False
    ):
        raise click.Abort
    key = trust.begin(session.place.data, session.database.audit).public()[-1]
    _tell(session, key, f"key {key.id} signs from now on")


def _tell(session: Session, key: PublicKey, words: str) -> None:
    if session.json:
        document(key.document())
    else:
        say(f"{words}; copy {session.place.data / NAME} to every node on the same ledger")
        click.echo(key.public)
