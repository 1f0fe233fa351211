"""Who may sign in, on SQLite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from wharfinger.ledger import User
from wharfinger.ledger.account import COLUMNS, from_user, to_user
from wharfinger.ledger.sqlite.connection import Connections, first, rows

_FIND = f"SELECT {COLUMNS} FROM account WHERE name = ?"
_ADD = f"INSERT INTO account({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
_KEEP = _ADD.replace("INSERT", "INSERT OR REPLACE")


class SqliteAccounts:
    """See Accounts."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def user(self, name: str) -> User | None:
        """See Accounts."""
        with self._connections.reading() as db:
            found = first(db, _FIND, name)
        return found and to_user(found)

    def users(self) -> list[User]:
        """See Accounts."""
        with self._connections.reading() as db:
            return [to_user(r) for r in rows(db, f"SELECT {COLUMNS} FROM account ORDER BY name")]

    def add(self, user: User) -> bool:
        """See Accounts. Raises UsageError for one that is too large to be meant; so do the next two."""
        row = from_user(user)
        with self._connections.writing() as tx:
            return first(tx, f"{_ADD} ON CONFLICT DO NOTHING RETURNING name", *row) is not None

    def change(self, name: str, alter: Callable[[User], User]) -> User | None:
        """See Accounts."""
        with self._connections.writing() as tx:
            found = first(tx, _FIND, name)
            if found is None:
                return None
            changed = replace(alter(to_user(found)), name=name)
            tx.execute(_KEEP, from_user(changed))
            return changed

    def keep(self, users: Sequence[User]) -> None:
        """See Accounts. One that is too large is refused before any is written."""
        rows = [from_user(user) for user in users]
        with self._connections.writing() as tx:
            tx.executemany(_KEEP, rows)

    def forget(self, names: Sequence[str]) -> list[bool]:
        """See Accounts."""
        with self._connections.writing() as tx:
            sql = "DELETE FROM account WHERE name = ? RETURNING name"
            return [first(tx, sql, name) is not None for name in names]
