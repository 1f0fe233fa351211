from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rig.command import Wharf

PASSWORD = "correct horse battery"


def key(wharf: Wharf, name: str = "key") -> str:
    """A new key pair's public file."""
    path = wharf.place / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)], check=True)
    return f"{path}.pub"


def users(wharf: Wharf) -> dict[str, dict[str, object]]:
    return {user["user"]: user for user in wharf("users", "list", "--json").json}


def test_a_user_with_a_key_is_listed_by_its_fingerprint(wharf: Wharf) -> None:
    said = wharf("users", "add", "bob", "--customer", "acme", "--key", key(wharf))
    assert (said.code, said.err) == (0, "added bob for acme\n")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(wharf.place / "key.pub")], capture_output=True, text=True, check=True
    )
    assert users(wharf)["bob"] == {
        "user": "bob",
        "customer_id": "acme",
        "home": "acme",
        "keys": [shown.stdout.split()[1]],
        "password": False,
        "disabled": False,
    }


def test_a_key_may_be_given_as_text(wharf: Wharf) -> None:
    text = Path(key(wharf)).read_text()
    assert wharf("users", "add", "bob", "--customer", "acme", "--key", text).code == 0


def test_a_new_key_pair_is_made_on_request(wharf: Wharf) -> None:
    said = wharf("users", "add", "bob", "--customer", "acme", "--new-key", "keys/bob")
    assert "keys/bob" in said.err
    assert (wharf.place / "keys/bob").stat().st_mode & 0o777 == 0o600
    assert len(users(wharf)["bob"]["keys"]) == 1  # type: ignore[arg-type]


def test_a_private_key_is_refused(wharf: Wharf) -> None:
    key(wharf)
    wharf.refused("users", "add", "bob", "--customer", "acme", "--key", "key", code="KEY_PRIVATE", exit=2)
    assert users(wharf) == {}


def test_a_password_comes_from_stdin_a_file_or_a_prompt(wharf: Wharf) -> None:
    wharf("users", "add", "one", "--customer", "acme", "--password", stdin=f"{PASSWORD}\n")
    wharf.write("secret", f"{PASSWORD}\n")
    wharf("users", "add", "two", "--customer", "acme", "--password-file", "secret")
    asked = wharf.at_terminal("users", "add", "three", "--customer", "acme", "--password", answers=[PASSWORD, PASSWORD])
    assert asked.code == 0
    assert [user["password"] for user in users(wharf).values()] == [True, True, True]


def test_a_short_password_is_refused(wharf: Wharf) -> None:
    wharf.refused("users", "add", "bob", "--customer", "acme", "--password", code="PASSWORD_WEAK", exit=2, stdin="hi\n")


def test_a_user_is_never_replaced_by_add(wharf: Wharf) -> None:
    wharf("users", "add", "bob", "--customer", "acme", "--key", key(wharf))
    wharf.refused(
        "users", "add", "bob", "--customer", "globex", "--key", key(wharf, "other"), code="USER_EXISTS", exit=2
    )
    assert users(wharf)["bob"]["customer_id"] == "acme"


@pytest.mark.parametrize("name", ["-rf", "../x", "a/b", "a b", "", "x" * 65, "naïve"])
def test_a_name_that_could_mean_something_else_is_refused(wharf: Wharf, name: str) -> None:
    wharf.refused(
        "users", "add", "--customer", "acme", "--password", "--", name, code="NAME_UNSAFE", exit=4, stdin=PASSWORD
    )


@pytest.mark.parametrize("home", ["globex", "acme/..", "acme/../globex", "/acme", "acme//x", "acmes", "acme/a\\b"])
def test_a_home_that_is_no_folder_of_the_customer_is_refused(wharf: Wharf, home: str) -> None:
    words = ("users", "add", "bob", "--customer", "acme", "--home", home, "--password")
    wharf.refused(*words, code="NAME_UNSAFE", exit=4, stdin=PASSWORD)


def test_keys_are_added_and_removed_by_fingerprint(wharf: Wharf) -> None:
    wharf("users", "add", "bob", "--customer", "acme", "--key", key(wharf))
    (first,) = wharf("users", "keys", "bob", "--json").json
    both = wharf("users", "keys", "bob", "--add", key(wharf, "other"), "--json").json
    assert len(both) == 2
    left = wharf("users", "keys", "bob", "--remove", first["fingerprint"], "--json").json
    assert left == [both[1]]
    wharf.refused("users", "keys", "bob", "--remove", first["fingerprint"], code="NOT_FOUND", exit=3)


def test_a_password_is_changed_and_taken_away(wharf: Wharf) -> None:
    wharf("users", "add", "bob", "--customer", "acme", "--key", key(wharf))
    assert wharf("users", "passwd", "bob", stdin=f"{PASSWORD}\n").code == 0
    assert users(wharf)["bob"]["password"] is True
    assert wharf("users", "passwd", "bob", "--none").code == 0
    assert users(wharf)["bob"]["password"] is False


def test_a_user_is_disabled_and_enabled(wharf: Wharf) -> None:
    wharf("users", "add", "bob", "--customer", "acme", "--key", key(wharf))
    wharf("users", "disable", "bob")
    assert users(wharf)["bob"]["disabled"] is True
    wharf("users", "enable", "bob")
    assert users(wharf)["bob"]["disabled"] is False


def test_removing_asks_and_a_dry_run_only_looks(wharf: Wharf) -> None:
    wharf("users", "add", "bob", "--customer", "acme", "--key", key(wharf))
    assert "would remove 1 user" in wharf("users", "remove", "bob", "--dry-run").err
    wharf.refused("users", "remove", "bob", code="USAGE", exit=2)
    wharf.at_terminal("users", "remove", "bob", answers=["n"])
    assert "bob" in users(wharf)
    wharf.at_terminal("users", "remove", "bob", answers=["y"])
    assert users(wharf) == {}


def test_a_file_of_users_is_applied(wharf: Wharf) -> None:
    public = Path(key(wharf)).read_text().strip()
    wharf.write(
        "users.yaml",
        f"users:\n  bob: {{customer: acme, keys: ['{public}']}}\n  eve: {{customer: globex, home: globex/eve, disabled: true}}\n",
    )
    assert {row["change"] for row in wharf("users", "apply", "users.yaml", "--dry-run", "--json").json} == {"added"}
    assert users(wharf) == {}
    wharf("users", "apply", "users.yaml")
    assert users(wharf)["eve"]["home"] == "globex/eve"
    assert {row["change"] for row in wharf("users", "apply", "users.yaml", "--json").json} == {"unchanged"}


@pytest.mark.parametrize(
    "text",
    [
        "users: {bob: {customer: nobody}}",
        "users: {bob: {customer: acme, keys: [rubbish]}}",
        "users: {bob: {customer: acme, password_hash: plain}}",
        "users: {bob: {customer: acme, colour: red}}",
        "users: [bob",
        "nobody: {}",
    ],
)
def test_a_broken_file_of_users_changes_nothing(wharf: Wharf, text: str) -> None:
    wharf.write("users.yaml", text)
    said = wharf("users", "apply", "users.yaml")
    assert said.code in (1, 2, 3)
    assert said.err.startswith("error: ")
    assert "\nfix: " in said.err
    assert users(wharf) == {}


def test_every_mistake_of_a_file_of_users_names_the_user_and_the_line(wharf: Wharf) -> None:
    wharf.write("users.yaml", "users:\n  bob: {customer: acme}\n  eve: {customer: acme, keys: [rubbish]}\n")
    said = wharf.refused("users", "apply", "users.yaml", code="USERS_INVALID", exit=1)
    assert "users.yaml:2:8: users.bob: bob would have no way to sign in" in said
    assert "users.yaml:3:8: users.eve: not a public key" in said


def test_exported_users_are_applied_elsewhere_as_they_were(wharf: Wharf) -> None:
    wharf("users", "add", "bob", "--customer", "acme", "--home", "acme/north", "--key", key(wharf))
    wharf("users", "add", "eve", "--customer", "globex", "--password", stdin=f"{PASSWORD}\n")
    before = users(wharf)
    wharf.write("users.yaml", wharf("users", "export").out)
    assert {row["change"] for row in wharf("users", "apply", "users.yaml", "--json").json} == {"unchanged"}
    wharf("users", "remove", "bob", "eve", "--yes")
    assert wharf("users", "apply", "users.yaml").code == 0
    assert users(wharf) == before
