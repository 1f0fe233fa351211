"""Keys and passwords: what opens an account, and what does not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest
from argon2 import PasswordHasher

from wharfinger.ingest.sftp.auth import Gate
from wharfinger.ledger import User
from wharfinger.ledger.sqlite import SqliteDatabase

KEY, OTHER = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
LINE = KEY.export_public_key().decode().strip() + " ann's laptop"
HASH = PasswordHasher(time_cost=1, memory_cost=64).hash("secret")


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    database = SqliteDatabase(tmp_path / "ledger.db")
    database.accounts.keep(
        [
            User("ann", "acme", "acme", ("not a key", LINE), HASH),
            User("old", "acme", "acme", (LINE,), HASH, disabled=True),
            User("bare", "acme", "acme"),
            User("torn", "acme", "acme", (), "$argon2id$torn"),
        ]
    )
    gate = Gate(database.accounts)
    yield gate
    gate.close()
    database.close()


def opens(gate: Gate, name: str, password: str) -> bool:
    return asyncio.run(gate.password_opens(gate.user(name), password))


def test_each_of_a_users_keys_opens_and_no_other(gate: Gate) -> None:
    assert gate.key_opens(gate.user("ann"), KEY)
    assert not gate.key_opens(gate.user("ann"), OTHER)
    assert not gate.key_opens(gate.user("bare"), KEY)


def test_the_password_opens_and_no_other(gate: Gate) -> None:
    assert opens(gate, "ann", "secret")
    for password in ("", "Secret", "secret ", "nobody has this password"):
        assert not opens(gate, "ann", password)


@pytest.mark.parametrize("name", ["nobody", "old", "bare", "torn"])
def test_unknown_disabled_and_passwordless_users_stay_out(gate: Gate, name: str) -> None:
    for password in ("", "secret", "nobody has this password"):
        assert not opens(gate, name, password)
    assert not gate.key_opens(gate.user(name), KEY)


def test_nobody_is_shut_out_later_for_the_passwords_that_wait(gate: Gate) -> None:
    async def shut_out() -> int:
        checks = [asyncio.ensure_future(gate.password_opens(None, "secret")) for _ in range(20)]
        await asyncio.sleep(0)
        assert await gate.shut_out(["ann", "old", "nobody"]) == {"old", "nobody"}
        waiting = sum(not check.done() for check in checks)
        await asyncio.gather(*checks)
        return waiting

    assert asyncio.run(shut_out()) > 2
