"""Who may sign in: public keys and passwords of the accounts in the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import asyncssh
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from wharfinger.ledger import Accounts, User

AT_ONCE = 2
"""Passwords that are checked at the same time: each takes 64 MiB and tens of milliseconds of a core."""


class Gate:
    """
    Tells whether a key or a password opens an account. Passwords are checked in threads, away from the event loop; who must go is
    found in another one, so that no stranger's password delays it.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._hasher = PasswordHasher()
        self._decoy = self._hasher.hash("nobody has this password")
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")
        self._lookout = ThreadPoolExecutor(1, thread_name_prefix="lookout")

    def user(self, name: str) -> User | None:
        """The account of this name, unless it is disabled."""
        user = self._accounts.user(name)
        return None if user is None or user.disabled else user

    async def shut_out(self, names: Collection[str]) -> set[str]:
        """Which of these may not sign in any more. Raises LedgerError."""
        return await asyncio.get_running_loop().run_in_executor(self._lookout, self._gone, names)

    def key_opens(self, user: User | None, key: asyncssh.SSHKey) -> bool:
        """Whether `key` is one of the user's."""
        return user is not None and any(_public_data(line) == key.public_data for line in user.keys)

    async def password_opens(self, user: User | None, password: str) -> bool:
        """Whether `password` is the user's. Takes as long where there is no such user, or no password."""
        known = user.password_hash if user else ""
        check = asyncio.get_running_loop().run_in_executor(self._threads, self._verify, known or self._decoy, password)
        return await check and bool(known)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)
        self._lookout.shutdown(cancel_futures=True)

    def _gone(self, names: Collection[str]) -> set[str]:
        return {name for name in names if self.user(name) is None}

    def _verify(self, known: str, password: str) -> bool:
        try:
            return self._hasher.verify(known, password)
        except (Argon2Error, InvalidHashError):
            return False


@lru_cache(maxsize=10_000)
def _public_data(line: str) -> bytes | None:
    """The key in one line of OpenSSH's format; None where it is none."""
    try:
        return asyncssh.import_public_key(line).public_data
    except asyncssh.KeyImportError:
        return None
