"""
Users in a file, for `wharf users apply`. YAML as in wharf.yaml, or JSON:

    users:
      bob:
        customer: acme                  # needless where there is only one
        home: acme/north                # default: the customer's tree
        keys: ["ssh-ed25519 AAAA... bob@home"]
        password_hash: "$argon2id$..."  # as `wharf users export` writes it; keys, password or both
        disabled: false
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from wharfinger.cli import choose, credentials
from wharfinger.cli.session import Session
from wharfinger.config import document, option
from wharfinger.config.check import Check
from wharfinger.config.mistake import Mistakes
from wharfinger.errors import ConfigError, UsageError
from wharfinger.ledger import User


@dataclass(frozen=True, slots=True)
class Member:
    """One user, as a person writes it."""

    customer: Annotated[str | None, option("Whose files these are.", example="acme")] = None
    home: Annotated[str | None, option("The tree this user sees.", example="acme/north")] = None
    keys: Annotated[tuple[str, ...], option("Public keys in OpenSSH's format.")] = ()
    password_hash: Annotated[str, option("An argon2id PHC string.")] = ""
    disabled: Annotated[bool, option("Whether signing in is refused.")] = False


@dataclass(frozen=True, slots=True)
class Roster:
    """The whole file."""

    users: Annotated[Mapping[str, Member], option("Users by name.")] = field(default_factory=dict)


def read(path: Path, session: Session) -> list[User]:
    """The users of the file, sound in every part. Raises ConfigError with every mistake and its line."""
    mistakes = Mistakes(path)
    try:
        check = Check(document.parse(path.read_text(encoding="utf-8"), path.name, mistakes), mistakes)
        roster = check.take(Roster, ()) or Roster()
        users = [user for name, member in roster.users.items() if (user := _checked(name, member, session, check))]
        mistakes.check()
    except ConfigError as exc:
        raise ConfigError(str(exc), code="USERS_INVALID", fix=f"edit {path}, then apply it again") from exc
    return users


def written(users: Iterable[User]) -> dict[str, Any]:
    """The file's content for these users. One who has no way to sign in is written as disabled, or would not be read again."""
    return {"users": {user.name: _written(user) for user in users}}


def _written(user: User) -> dict[str, Any]:
    return {
        "customer": user.customer,
        "home": user.home,
        "keys": list(user.keys),
        "password_hash": user.password_hash,
        "disabled": user.disabled or not (user.keys or user.password_hash),
    }


def _checked(name: str, member: Member, session: Session, check: Check) -> User | None:
    try:
        return _user(name, member, session)
    except UsageError as exc:
        check.say(("users", name), f"{exc}; {exc.fix}")
        return None


def _user(name: str, member: Member, session: Session) -> User:
    customer = choose.customer(session, member.customer)
    keys = tuple(credentials.public_key(key) for key in member.keys)
    if member.password_hash and not credentials.is_password_hash(member.password_hash):
        fix = "take one that wharf users export wrote, or leave it out and use: wharf users passwd"
        raise UsageError("the password_hash is no argon2id PHC string", code="PASSWORD_HASH", fix=fix)
    if not (keys or member.password_hash or member.disabled):
        raise UsageError(f"{name} would have no way to sign in", fix="give keys or a password_hash")
    return choose.sound(User(name, customer, member.home or customer, keys, member.password_hash, member.disabled))
