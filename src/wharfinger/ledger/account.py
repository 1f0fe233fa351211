"""Users as rows of table `account`."""

from __future__ import annotations

from typing import Any

import orjson

from wharfinger.errors import UsageError
from wharfinger.ledger import User

LONGEST_NAME = 255  # characters of a name, a customer, a home
LONGEST_KEY = 16_384  # characters; RSA with 16,384 bits has some 2,800
LONGEST_HASH = 1_024  # characters of a PHC string
MOST_KEYS = 100  # of one user

COLUMNS = "name, customer, home, keys, password_hash, disabled"


def from_user(user: User) -> tuple[Any, ...]:
    """The row. Raises UsageError for a user that is too large to be meant."""
    _check(user)
    keys = orjson.dumps(user.keys).decode()
    return (user.name, user.customer, user.home, keys, user.password_hash, user.disabled)


def to_user(row: tuple[Any, ...]) -> User:
    """The user of a row with the columns COLUMNS."""
    name, customer, home, keys, password_hash, disabled = row
    return User(name, customer, home, tuple(orjson.loads(keys)), password_hash, bool(disabled))


def _check(user: User) -> None:
    sizes = {
        "name": (len(user.name), LONGEST_NAME),
        "customer": (len(user.customer), LONGEST_NAME),
        "home": (len(user.home), LONGEST_NAME),
        "number of keys": (len(user.keys), MOST_KEYS),
        "longest key": (max(map(len, user.keys), default=0), LONGEST_KEY),
        "password hash": (len(user.password_hash), LONGEST_HASH),
    }
    for what, (size, most) in sizes.items():
        if size > most:
            raise UsageError(f"user {user.name[:40]!r}: the {what} is {size}; at most {most} is taken")
    if not user.name:
        raise UsageError("a user needs a name")
