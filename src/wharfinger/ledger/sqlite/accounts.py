"""Who may sign in, on SQLite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from wharfinger.errors import UsageError
from wharfinger.ledger import User
from wharfinger.ledger.sqlite.connection import Connections, first, rows

LONGEST_NAME = 255  # characters of a name, a customer, a home
LONGEST_KEY = 16_384  # characters; RSA with 16,384 bits has some 2,800
LONGEST_HASH = 1_024  # characters of a PHC string
MOST_KEYS = 100  # of one user

_COLUMNS = "name, customer, home, keys, password_hash, disabled"
_FIND = f"SELECT {_COLUMNS} FROM account WHERE name = ?"
_ADD = f"INSERT INTO account({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
_KEEP = _ADD.replace("INSERT", "INSERT OR REPLACE")


class SqliteAccounts:
    """See Accounts."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def user(self, name: str) -> User | None:
        """See Accounts."""
        with self._connections.reading() as db:
            found = first(db, _FIND, name)
        return found and _user(found)

    def users(self) -> list[User]:
        """See Accounts."""
        with self._connections.reading() as db:
            return [_user(r) for r in rows(db, f"SELECT {_COLUMNS} FROM account ORDER BY name")]

    def add(self, user: User) -> bool:
        """See Accounts. Raises UsageError for one that is too large to be meant; so do the next two."""
        row = _row(user)
        with self._connections.writing() as tx:
            return first(tx, f"{_ADD} ON CONFLICT DO NOTHING RETURNING name", *row) is not None

    def change(self, name: str, alter: Callable[[User], User]) -> User | None:
        """See Accounts."""
        with self._connections.writing() as tx:
            found = first(tx, _FIND, name)
            if found is None:
                return None
            changed = replace(alter(_user(found)), name=name)
            tx.execute(_KEEP, _row(changed))
            return changed

    def keep(self, users: Sequence[User]) -> None:
        """See Accounts. One that is too large is refused before any is written."""
        rows = [_row(user) for user in users]
        with self._connections.writing() as tx:
            tx.executemany(_KEEP, rows)

    def forget(self, names: Sequence[str]) -> list[bool]:
        """See Accounts."""
        with self._connections.writing() as tx:
            sql = "DELETE FROM account WHERE name = ? RETURNING name"
            return [first(tx, sql, name) is not None for name in names]


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


def _row(user: User) -> tuple[Any, ...]:
    _check(user)
    keys = orjson.dumps(user.keys).decode()
    return (user.name, user.customer, user.home, keys, user.password_hash, user.disabled)


def _user(r: tuple[Any, ...]) -> User:
    name, customer, home, keys, password_hash, disabled = r
    return User(name, customer, home, tuple(orjson.loads(keys)), password_hash, bool(disabled))
