"""`wharf signing`: the keys under which this installation signs receipts and checkpoints."""

from __future__ import annotations

import click

from wharfinger.cli.ask import go_ahead
from wharfinger.cli.frame import Verbs
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, document, listing, say

COLUMNS = (
    Column("id", "Key"),
    Column("since", "Since"),
    Column("signs", "", lambda row: "signs" if row["signs"] else "", style=lambda _: "green"),
    Column("public", "Public key", folds=True),
)


@click.group(cls=Verbs)
def command() -> None:
    """The keys that sign receipts and checkpoints."""


@command.command("list")
@pass_session
def list_(session: Session) -> None:
    """List the public keys, oldest first: the last one signs, and what the others signed still holds."""
    keys = session.keyring.public()
    rows = [key.document() | {"signs": key is keys[-1]} for key in keys]
    listing(rows, COLUMNS, json=session.json)


@command.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def rotate(session: Session, yes: bool) -> None:
    """
    Sign with a new key from now on.

    The old key endorses the new one, then its private half is forgotten; receipts that it signed can be checked as before. Running
    servers notice. Hand the new public key to whoever keeps the old one: wharf signing list.
    """
    before = session.keyring.public()[-1]
    if not go_ahead(f"Replace key {before.id} by a new one? Its private half will be gone.", yes=yes):
        raise click.Abort
    key = session.keyring.rotate()
    if session.json:
        document(key.document())
    else:
        say(f"key {key.id} signs from now on; {before.id} is kept to check what it signed")
        click.echo(key.public)
