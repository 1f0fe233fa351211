"""What every Accounts promises."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from wharfinger.errors import UsageError
from wharfinger.ledger import Accounts, Database, User

ANN = User("ann", "acme", "acme", ("ssh-ed25519 AAAA ann@home", "ssh-rsa BBBB"), "$argon2id$v=19$secret", disabled=True)
BOB = User("bob", "globex", "globex/bob")


def test_a_kept_user_is_found(accounts: Accounts) -> None:
    accounts.keep([BOB, ANN])
    assert (accounts.user("ann"), accounts.user("bob"), accounts.user("Ann")) == (ANN, BOB, None)
    assert accounts.users() == [ANN, BOB]


def test_a_user_is_replaced_by_name(accounts: Accounts) -> None:
    accounts.keep([ANN])
    accounts.keep([User("ann", "acme", "acme")])
    assert accounts.users() == [User("ann", "acme", "acme")]


def test_an_added_user_never_replaces_another(accounts: Accounts) -> None:
    assert accounts.add(ANN) is True
    assert accounts.add(User("ann", "globex", "globex")) is False
    assert accounts.users() == [ANN]


def test_a_change_touches_one_user_and_keeps_the_name(accounts: Accounts) -> None:
    accounts.keep([ANN, BOB])
    changed = accounts.change("bob", lambda user: replace(user, name="ann", disabled=True))
    assert changed == replace(BOB, disabled=True)
    assert accounts.users() == [ANN, changed]
    assert accounts.change("nobody", lambda user: user) is None


def test_a_change_that_raises_changes_nothing(accounts: Accounts) -> None:
    accounts.keep([ANN])
    with pytest.raises(UsageError):
        accounts.change("ann", lambda user: replace(user, disabled=False, home="a" * 256))
    assert accounts.users() == [ANN]


def test_changes_of_two_processes_are_both_kept(open_database: Callable[[], Database]) -> None:
    keys = [f"key {n}" for n in range(20)]
    one, other = (open_database().accounts for _ in range(2))
    one.add(BOB)

    def add_keys() -> None:
        for key in keys:
            one.change("bob", lambda user, key=key: replace(user, keys=(*user.keys, key)))  # type: ignore[misc]

    with ThreadPoolExecutor(2) as threads:
        adding = threads.submit(add_keys)
        for _ in keys:
            other.change("bob", lambda user: replace(user, home=f"{user.home}/x", disabled=True))
        adding.result()
    assert one.user("bob") == replace(BOB, keys=tuple(keys), home=BOB.home + "/x" * len(keys), disabled=True)


def test_a_forgotten_user_is_gone(accounts: Accounts) -> None:
    accounts.keep([ANN, BOB])
    assert accounts.forget(["ann", "nobody", "ann"]) == [True, False, False]
    assert accounts.users() == [BOB]


def test_another_process_sees_a_user_at_once(open_database: Callable[[], Database]) -> None:
    one, other = open_database(), open_database()
    one.accounts.keep([ANN])
    assert other.accounts.user("ann") == ANN


@pytest.mark.parametrize(
    "user",
    [
        User("", "acme", "acme"),
        User("a" * 256, "acme", "acme"),
        User("ann", "a" * 256, "acme"),
        User("ann", "acme", "a" * 256),
        User("ann", "acme", "acme", ("k" * 20_000,)),
        User("ann", "acme", "acme", ("k",) * 101),
        User("ann", "acme", "acme", password_hash="secret" * 1000),
    ],
)
def test_what_is_too_large_to_be_meant_is_refused_whole(accounts: Accounts, user: User) -> None:
    with pytest.raises(UsageError) as refusal:
        accounts.keep([BOB, user])
    assert "secret" not in str(refusal.value)
    assert accounts.users() == []


def test_a_user_does_not_show_the_password(accounts: Accounts) -> None:
    accounts.keep([ANN])
    assert "secret" not in repr(accounts.users())
