"""The things that a command names, found; a name that is not known is answered with the nearest one."""

from __future__ import annotations

import re

from wharfinger.cli.session import Session
from wharfinger.config.words import nearest
from wharfinger.errors import UsageError
from wharfinger.ledger import SHORTEST_PREFIX, Accounts, User
from wharfinger.model import ChildRecord, FileRecord
from wharfinger.names import key_fault, shown

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
"""What a user may be called: safe in paths, logs and on command lines."""


def customer(session: Session, name: str | None) -> str:
    """The customer of this name, which the configuration must know; the only one where none is named."""
    customers = session.settings.customers
    if name is None and len(customers) == 1:
        return next(iter(customers))
    names = ", ".join(customers) or "none yet"
    if name is None:
        raise UsageError(f"whose? the customers are: {names}", fix="add --customer NAME")
    if name not in customers:
        fix = f"use one of them, or add {name!r} under `customers:` in {session.config}"
        raise UsageError(f"no customer {name!r}; the customers are: {names}", code="NOT_FOUND", fix=fix)
    return name


def user(accounts: Accounts, name: str) -> User:
    """The user of this name. Raises UsageError (NOT_FOUND)."""
    found = accounts.user(name)
    if found:
        return found
    hint = nearest(name, (user.name for user in accounts.users()))
    raise UsageError(f"no user {name!r}{hint}", code="NOT_FOUND", fix="wharf users list")


def admit(accounts: Accounts, user: User) -> None:
    """Add this user. Raises UsageError where the name is taken."""
    if not accounts.add(user):
        raise taken(user.name)


def taken(name: str) -> UsageError:
    """Why nobody else is given this name."""
    return UsageError(
        f"there is a user {name!r} already", code="USER_EXISTS", fix=f"wharf users keys {name} --add FILE"
    )


def file(session: Session, file_id: str) -> FileRecord:
    """The file of this id, or of this beginning of one, in capitals or not. Raises UsageError (NOT_FOUND)."""
    found = run(session, file_id)
    if isinstance(found, FileRecord):
        return found
    said = f"{file_id} is a child run, of the pipeline {found.pipeline}; it goes with its file"
    raise UsageError(said, code="NOT_FOUND", fix=f"name the file: {found.file_id}")


def run(session: Session, file_id: str) -> FileRecord | ChildRecord:
    """The file, or the child run, of this id, or of this beginning of one. Raises UsageError (NOT_FOUND)."""
    catalog = session.database.catalog
    found = catalog.file(file_id.upper()) or catalog.child(file_id.upper())
    if found:
        return found
    if len(file_id) < SHORTEST_PREFIX:
        said = f"{file_id!r} is too short to name a file"
        raise UsageError(
            said, code="NOT_FOUND", fix=f"give at least {SHORTEST_PREFIX} characters of its id: wharf files"
        )
    fix = "give the whole id, or look for it: wharf files --name '*part of its name*'"
    raise UsageError(f"no file {file_id!r}, or several that begin so", code="NOT_FOUND", fix=fix)


def sound(user: User) -> User:
    """The user, if name and home are fit to be used. Raises UsageError."""
    if not NAME.fullmatch(user.name):
        fix = "use 1 to 64 of: letters, digits, _ . @ -; the first a letter, digit or _"
        raise UsageError(f"{user.name!r} cannot be a user's name", code="NAME_UNSAFE", fix=fix)
    if why := key_fault(user.home):
        raise UsageError(f"the home {shown(user.home)} {why}", code="NAME_UNSAFE", fix="name another folder")
    if user.home.split("/")[0] != user.customer:
        fix = f"use {user.customer!r}, or a folder below it such as '{user.customer}/north'"
        raise UsageError(f"the home {user.home!r} lies outside the customer's tree", code="NAME_UNSAFE", fix=fix)
    return user
