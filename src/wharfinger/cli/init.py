"""`wharf init`: a configuration that works, with a first user, and the next command to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from wharfinger.cli import choose, credentials
from wharfinger.cli.frame import Verb
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import answer, document
from wharfinger.config.place import NAMES
from wharfinger.errors import UsageError
from wharfinger.ledger import User

TEMPLATE = """\
# Wharfinger's configuration. `wharf check` validates it, `wharf schema > wharf.schema.json` helps an editor with it.
# Paths are relative to this file.

data: ./data                        # the ledger, the store and the server's host key

listeners:
  sftp:
    host: 127.0.0.1                 # this machine only; 0.0.0.0 opens it to the network
    port: {port}

# Who owns files. Each customer has a tree of folders (inbound/, outbound/, ...); its users see nothing else.
customers:
  {customer}: {{}}

# Where deliveries become visible: a directory with real names, or a bucket of the store.
destinations:
  outgoing: {{directory: ./outgoing}}
  archive: {{bucket: archive}}

# What happens to a file. The first pipeline whose route fits takes it; `wharf route explain inbound/x.csv` says which.
pipelines:
  packed:                           # compressed files are unpacked, whatever their names say
    route:
      key: "inbound/**"
      type: [application/gzip, application/zip]
    steps:
      - decompress
      - {{uses: deliver, with: {{to: outgoing}}}}

  everything:                       # all others: kept as they came, and delivered with the day in their names
    route: {{key: "inbound/**"}}
    steps:
      - {{uses: deliver, name: keep, with: {{to: archive}}}}
      - {{uses: rename, with: {{to: "{{stem}}-{{date:%Y%m%d}}{{suffix}}"}}}}
      - {{uses: deliver, with: {{to: outgoing}}}}

# `wharf steps list` shows what else a pipeline can do.
"""


@dataclass(frozen=True, slots=True)
class Made:
    """What `init` made. Paths are relative to the configuration's directory."""

    config: Path
    user: User
    port: int
    key: str = ""  # the private key
    password: str = ""

    @property
    def directory(self) -> Path:
        """Where everything lies."""
        return self.config.parent


@click.command(cls=Verb)
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--customer", default="acme", show_default=True, metavar="NAME", help="The first customer.")
@click.option("--user", metavar="NAME", help="Its first user.  [default: the customer's name]")
@click.option("--password", is_flag=True, help="Give the user a password instead of a key pair; it is shown once.")
@click.option(
    "--port", default=2222, show_default=True, type=click.IntRange(0, 65535), help="For SFTP; 0 takes a free one."
)
@click.option("--force", is_flag=True, help="Replace a wharf.yaml that is there.")
@pass_session
def command(
    session: Session, directory: Path, customer: str, user: str | None, password: bool, port: int, force: bool
) -> None:
    """Write a wharf.yaml that works, and add a first user."""
    if not re.fullmatch(NAMES, customer):
        fix = "use 1 to 64 of: letters, digits, . _ -; the first a letter or digit"
        raise UsageError(f"{customer!r} cannot be a customer's name", code="NAME_UNSAFE", fix=fix)
    owner = choose.sound(User(user or customer, customer, home=customer))
    if session.config.is_absolute() and directory != Path():
        raise UsageError(f"both {session.config} and {directory} say where", fix="leave one of them out")
    session.config = _write(directory / session.config, customer, port, force=force)
    made = _admit(session, Made(session.config, owner, port), password=password)
    session.keyring.public()
    if session.json:
        document(_public(session, made))
    else:
        answer(_words(made))


def _write(path: Path, customer: str, port: int, *, force: bool) -> Path:
    if path.exists() and not force:
        raise UsageError(f"{path} is there already", code="CONFIG_EXISTS", fix="wharf serve; or --force to replace it")
    (path.parent / "outgoing").mkdir(parents=True, exist_ok=True)
    path.write_text(TEMPLATE.format(customer=customer, port=port), encoding="utf-8")
    return path


def _admit(session: Session, made: Made, *, password: bool) -> Made:
    """Give the user a way to sign in, unless the ledger knows the user already."""
    accounts = session.database.accounts
    known = accounts.user(made.user.name)
    if known:
        return replace(made, user=known)
    if password:
        secret = credentials.new_password()
        choose.admit(accounts, replace(made.user, password_hash=credentials.password_hash(secret)))
        return replace(made, password=secret)
    name = f"keys/{made.user.name}"
    public = credentials.new_key(made.directory / name, f"{made.user.name}@wharf")
    choose.admit(accounts, replace(made.user, keys=(public,)))
    return replace(made, key=name)


def _words(made: Made) -> Iterator[str]:
    here = made.directory == Path()
    wharf = "wharf" if made.config.name == "wharf.yaml" else f"wharf --config {shlex.quote(made.config.name)}"
    yield f"made {made.config}, with comments to change it by"
    yield _entry(made)
    yield ""
    yield "Start the server:"
    yield from () if here else (f"    cd {shlex.quote(str(made.directory))}",)
    yield f"    {wharf} serve"
    yield "Then send a file from another terminal, and see what becomes of it:"
    yield from () if here else (f"    cd {shlex.quote(str(made.directory))}",)
    yield f"    echo {shlex.quote(f'put {made.config.name} inbound/')} | {_client(made)}"
    yield f"    {wharf} files"


def _entry(made: Made) -> str:
    who = f"user {made.user.name} of customer {made.user.customer}"
    if made.key:
        return f"made {who}, who signs in with the private key {made.directory / made.key}"
    if made.password:
        return f"made {who}, whose password is shown this once: {made.password}"
    return f"{who} is known already, and signs in as before"


def _client(made: Made) -> str:
    key = f"-i {shlex.quote(made.key)} " if made.key else ""
    return f"sftp -P {made.port or 'PORT'} {key}{made.user.name}@127.0.0.1"


def _public(session: Session, made: Made) -> dict[str, Any]:
    return {
        "config": str(session.config),
        "user": made.user.name,
        "customer_id": made.user.customer,
        "key": str(made.directory / made.key) if made.key else None,
        "password": made.password or None,
        "try": _client(made),
    }
