"""
Users in a file, for `wharf users apply`. YAML as in wharf.yaml, or JSON:

    users:
      bob:
        customer: acme                  # needless where there is only one
        home: acme/north                # default: the customer's tree
        keys: ["ssh-ed25519 AAAA... bob@home"]
        password_hash: "$argon2id$..."  # from another installation; `wharf users passwd` sets a password
        disabled: false
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

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
    """The users of the file, sound in every part. Raises ConfigError or UsageError; then nobody was changed."""
    mistakes = Mistakes(path)
    try:
        roster = Check(document.parse(path.read_text(encoding="utf-8"), path.name, mistakes), mistakes).take(Roster, ())
        mistakes.check()
    except ConfigError as exc:
        raise ConfigError(str(exc), code="USERS_INVALID", fix=f"edit {path}, then apply it again") from exc
    assert roster is not None, "there is a mistake where there is no roster"
    return [_user(name, member, session) for name, member in roster.users.items()]


def _user(name: str, member: Member, session: Session) -> User:
    customer = choose.customer(session, member.customer)
    keys = tuple(credentials.public_key(key) for key in member.keys)
    if member.password_hash and not credentials.is_password_hash(member.password_hash):
        fix = "take the hash of another installation, or leave it out and use: wharf users passwd"
        raise UsageError(f"{name}: the password_hash is no argon2id PHC string", code="PASSWORD_HASH", fix=fix)
    return choose.sound(User(name, customer, member.home or customer, keys, member.password_hash, member.disabled))
