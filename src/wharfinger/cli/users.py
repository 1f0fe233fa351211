"""`wharf users`: who may sign in, with which keys or password, and for which customer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from json import dumps
from pathlib import Path
from typing import TextIO

import click

from wharfinger.cli import choose, credentials, public
from wharfinger.cli.ask import go_ahead
from wharfinger.cli.frame import Verbs
from wharfinger.cli.session import Session, pass_session
from wharfinger.cli.show import Column, answer, document, listing, say
from wharfinger.cli.words import many
from wharfinger.errors import UsageError
from wharfinger.ledger import User

COLUMNS = (
    Column("user", "User"),
    Column("customer_id", "Customer"),
    Column("home", "Home"),
    Column("keys", "Keys", lambda row: "\n".join(row["keys"]) or "-", folds=True),
    Column("password", "Password", lambda row: "yes" if row["password"] else "-"),
    Column("disabled", "", lambda row: "disabled" if row["disabled"] else "", style=lambda _: "yellow"),
)


@click.group(cls=Verbs)
def command() -> None:
    """Who may sign in: add, list, remove; their keys and passwords."""


@command.command()
@click.argument("name")
@click.option("--customer", metavar="NAME", help="Whose files these are; needless where there is only one customer.")
@click.option("--home", metavar="PATH", help="The tree this user sees.  [default: the customer's]")
@click.option(
    "--key", "keys", multiple=True, metavar="FILE", help="A file of public keys, or a key itself; may be repeated."
)
@click.option("--new-key", type=click.Path(path_type=Path), metavar="FILE", help="Make a key pair: FILE and FILE.pub.")
@click.option("--password", is_flag=True, help="Ask for a password (or read a line of stdin).")
@click.option("--password-file", type=click.File(), metavar="FILE", help="Take the file's first line as the password.")
@pass_session
def add(
    session: Session,
    name: str,
    customer: str | None,
    home: str | None,
    keys: tuple[str, ...],
    new_key: Path | None,
    password: bool,
    password_file: TextIO | None,
) -> None:
    """Add a user, who signs in with a key, a password, or either."""
    accounts = session.database.accounts
    if accounts.user(name):
        raise choose.taken(name)
    owner = choose.customer(session, customer)
    user = choose.sound(User(name, owner, home or owner))
    secret = _read_password(password, password_file)
    hashed = credentials.password_hash(secret) if secret is not None else ""
    given = [key for text in keys for key in _keys(text)]
    if new_key:
        given.append(credentials.new_key(new_key, f"{name}@wharf"))
        say(f"made the private key {new_key} (give it to {name} alone) and {new_key}.pub")
    if not given and not hashed:
        raise UsageError(f"{name} would have no way to sign in", fix="add --key FILE, --new-key FILE or --password")
    choose.admit(accounts, replace(user, keys=tuple(given), password_hash=hashed))
    _answer(session, name, f"added {name} for {user.customer}")


@command.command("list")
@pass_session
def list_(session: Session) -> None:
    """All users, with the fingerprints of their keys."""
    rows = [public.user(user, _prints(user)) for user in session.database.accounts.users()]
    listing(rows, COLUMNS, json=session.json, empty="no users yet; add one: wharf users add NAME --key FILE")


@command.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@pass_session
def remove(session: Session, names: tuple[str, ...], yes: bool, dry_run: bool) -> None:
    """Remove users. Their files stay."""
    accounts = session.database.accounts
    found = [choose.user(accounts, name) for name in names]
    if dry_run or not go_ahead(f"Remove {', '.join(user.name for user in found)}?", yes=yes):
        say(f"would remove {many(len(found), 'user')}" if dry_run else "nothing removed")
        return
    accounts.forget([user.name for user in found])
    if session.json:
        document({"removed": [user.name for user in found]})
    say(f"removed {', '.join(user.name for user in found)}; what they sent stays in custody")


@command.command()
@click.argument("name")
@click.option(
    "--add", "added", multiple=True, metavar="FILE", help="A file of public keys, or a key itself; may be repeated."
)
@click.option(
    "--remove", "removed", multiple=True, metavar="FINGERPRINT", help="The key of this fingerprint (or its beginning)."
)
@pass_session
def keys(session: Session, name: str, added: tuple[str, ...], removed: tuple[str, ...]) -> None:
    """Show, add and remove the public keys of a user."""
    given = [key for text in added for key in _keys(text)]

    def alter(user: User) -> User:
        gone = {_named(user, print) for print in removed}
        return replace(user, keys=tuple(dict.fromkeys([*(key for key in user.keys if key not in gone), *given])))

    user = _alter(session, name, alter) if added or removed else choose.user(session.database.accounts, name)
    if removed and not user.keys and not user.password_hash:
        say(f"nobody can sign in as {name} now: wharf users keys {name} --add FILE, or wharf users passwd {name}")
    rows = [{"fingerprint": credentials.fingerprint(key), "key": key} for key in user.keys]
    columns = (Column("fingerprint", "Fingerprint"), Column("key", "Key", folds=True))
    listing(rows, columns, json=session.json, empty=f"{name} has no keys")


@command.command()
@click.argument("name")
@click.option("--password-file", type=click.File(), metavar="FILE", help="Take the file's first line as the password.")
@click.option("--none", "without", is_flag=True, help="Take the password away: only keys work.")
@pass_session
def passwd(session: Session, name: str, password_file: TextIO | None, without: bool) -> None:
    """Set a user's password: asked for, or a line of stdin."""
    choose.user(session.database.accounts, name)
    hashed = "" if without else credentials.password_hash(_read_password(True, password_file) or "")
    _alter(session, name, lambda user: replace(user, password_hash=hashed))
    _answer(session, name, f"{name} has no password now" if without else f"{name} has a new password")


@command.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@pass_session
def disable(session: Session, names: tuple[str, ...]) -> None:
    """Let users sign in no longer; their keys stay."""
    _set_disabled(session, names, disabled=True)


@command.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@pass_session
def enable(session: Session, names: tuple[str, ...]) -> None:
    """Let disabled users sign in again."""
    _set_disabled(session, names, disabled=False)


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@pass_session
def apply(session: Session, file: Path, dry_run: bool) -> None:
    """Add or replace users from a YAML file; users it does not name stay as they are.

    The file is what `wharf users export` writes, or by hand:

    \b
        users:
          bob:
            customer: acme                  # needless where there is only one
            home: acme/north                # default: the customer's tree
            keys: ["ssh-ed25519 AAAA... bob@home"]
            password_hash: "$argon2id$..."  # as export writes it; keys, password or both
            disabled: false
    """
    from wharfinger.cli.roster import read

    accounts = session.database.accounts
    users = read(file, session)
    before = {user.name: user for user in accounts.users()}
    rows = [{"user": user.name, "change": _change(before.get(user.name), user)} for user in users]
    if not dry_run:
        accounts.keep([user for user in users if before.get(user.name) != user])
    listing(
        rows, (Column("user", "User"), Column("change", "Change")), json=session.json, empty=f"{file} names no users"
    )
    if dry_run:
        say("nothing was changed (--dry-run)")


@command.command()
@pass_session
def export(session: Session) -> None:
    """Write all users as a file that `wharf users apply` reads: a backup.

    Public keys and the hashes of passwords are in it; keep it as you keep the ledger.
    """
    from wharfinger.cli.roster import written

    told = written(session.database.accounts.users())
    if session.json:
        document(told)
        return
    answer(["users:" if told["users"] else "users: {}"])
    answer(f"  {dumps(name)}: {dumps(user)}" for name, user in told["users"].items())  # JSON is YAML


def _keys(text: str) -> tuple[str, ...]:
    if text.startswith(("ssh-", "ecdsa-")):
        return (credentials.public_key(text),)
    found = credentials.public_keys(Path(text).read_text(errors="replace"))
    if not found:
        raise UsageError(
            f"{text}: there is no key in it", code="KEY_INVALID", fix="name a .pub file, or authorized_keys"
        )
    return found


def _named(user: User, print: str) -> str:
    wanted = "SHA256:" + print.removeprefix("SHA256:")
    found = [key for key in user.keys if credentials.fingerprint(key).startswith(wanted)]
    if len(found) != 1:
        said = "no key" if not found else f"{len(found)} keys"
        raise UsageError(f"{user.name} has {said} with {print}", code="NOT_FOUND", fix=f"wharf users keys {user.name}")
    return found[0]


def _read_password(asked: bool, file: TextIO | None) -> str | None:
    if file is not None:
        return str(file.readline()).rstrip("\r\n")
    if not asked:
        return None
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt="Once more", err=True))
    return sys.stdin.readline().rstrip("\r\n")


def _set_disabled(session: Session, names: Sequence[str], *, disabled: bool) -> None:
    accounts = session.database.accounts
    for user in [choose.user(accounts, name) for name in names]:
        _alter(session, user.name, lambda user: replace(user, disabled=disabled))
        _answer(session, user.name, f"{user.name} is {'disabled' if disabled else 'enabled'}")


def _alter(session: Session, name: str, alter: Callable[[User], User]) -> User:
    """Change the user beside whatever others change. Raises UsageError (NOT_FOUND)."""
    accounts = session.database.accounts
    return accounts.change(name, alter) or choose.user(accounts, name)


def _change(before: User | None, after: User) -> str:
    return "added" if before is None else "unchanged" if before == after else "replaced"


def _prints(user: User) -> dict[str, str]:
    return {key: credentials.fingerprint(key) for key in user.keys}


def _answer(session: Session, name: str, said: str) -> None:
    user = choose.user(session.database.accounts, name)
    if session.json:
        document(public.user(user, _prints(user)))
    say(said)
