"""Who may sign in, on Postgres."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from wharfinger.ledger import User
from wharfinger.ledger.account import COLUMNS, from_user, to_user
from wharfinger.ledger.postgres.connection import Connections, Transaction, first, rows

_FIND = f"SELECT {COLUMNS} FROM account WHERE name = %s"
_ADD = f"INSERT INTO account({COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (name) DO"
_KEEP = f"""
{_ADD} UPDATE SET customer = excluded.customer, home = excluded.home, keys = excluded.keys,
  password_hash = excluded.password_hash, disabled = excluded.disabled RETURNING name
"""


class PostgresAccounts:
    """See Accounts."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def user(self, name: str) -> User | None:
        """See Accounts."""
        found = self._connections.read(lambda db: first(db, _FIND, name))
        return found and to_user(found)

    def users(self) -> list[User]:
        """See Accounts."""
        found = self._connections.read(lambda db: rows(db, f"SELECT {COLUMNS} FROM account ORDER BY name"))
        return [to_user(r) for r in found]

    def add(self, user: User) -> bool:
        """See Accounts. Raises UsageError for one that is too large to be meant; so do the next two."""
        row = from_user(user)
        return self._connections.write(lambda tx: first(tx, f"{_ADD} NOTHING RETURNING name", *row)) is not None

    def change(self, name: str, alter: Callable[[User], User]) -> User | None:
        """See Accounts. `alter` is called again where the transaction has to be."""

        def work(tx: Transaction) -> User | None:
            found = first(tx, f"{_FIND} FOR UPDATE", name)
            if found is None:
                return None
            changed = replace(alter(to_user(found)), name=name)
            tx.execute(_KEEP, from_user(changed))
            return changed

        return self._connections.write(work)

    def keep(self, users: Sequence[User]) -> None:
        """See Accounts. One that is too large is refused before any is written."""
        wanted = [from_user(user) for user in users]
        self._connections.write(lambda tx: [first(tx, _KEEP, *row) for row in wanted])

    def forget(self, names: Sequence[str]) -> list[bool]:
        """See Accounts."""
        sql = "DELETE FROM account WHERE name = %s RETURNING name"
        return self._connections.write(lambda tx: [first(tx, sql, name) is not None for name in names])
