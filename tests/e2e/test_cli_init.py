from __future__ import annotations

import re
import shlex

from rig.command import Wharf


def test_what_init_writes_is_valid_and_serves_its_user(empty: Wharf) -> None:
    assert empty("init").code == 0
    assert empty("check").code == 0
    assert [user["user"] for user in empty("users", "list", "--json").json] == ["acme"]
    assert empty("doctor").code == 0


def test_the_command_to_try_names_port_key_and_user(empty: Wharf) -> None:
    said = empty("init", "desk", "--customer", "globex", "--user", "bob", "--port", "2345")
    assert "cd desk" in said.out
    assert "sftp -P 2345 -i keys/bob bob@127.0.0.1" in said.out
    assert (empty.place / "desk/keys/bob").stat().st_mode & 0o777 == 0o600


def test_json_tells_the_same(empty: Wharf) -> None:
    told = empty("init", "--json").json
    assert shlex.split(told["try"]) == ["sftp", "-P", "2222", "-i", "keys/acme", "acme@127.0.0.1"]
    assert told["key"] == "keys/acme"
    assert told["password"] is None


def test_a_generated_password_is_shown_once_and_kept_as_a_hash(empty: Wharf) -> None:
    password = empty("init", "--password", "--json").json["password"]
    assert len(password) >= 16
    assert empty("users", "list", "--json").json[0]["password"] is True
    for path in (empty.place / "data").rglob("*"):
        assert not path.is_file() or password.encode() not in path.read_bytes()


def test_it_never_overwrites_without_force(empty: Wharf) -> None:
    empty("init")
    (empty.place / "wharf.yaml").write_text("mine: true\n")
    assert "--force" in empty.refused("init", code="CONFIG_EXISTS", exit=2)
    assert (empty.place / "wharf.yaml").read_text() == "mine: true\n"


def test_force_writes_anew_and_keeps_the_users_key(empty: Wharf) -> None:
    empty("init")
    key = (empty.place / "keys/acme").read_bytes()
    said = empty("init", "--force")
    assert said.code == 0
    assert "is known already" in said.out
    assert (empty.place / "keys/acme").read_bytes() == key


def test_every_setting_in_the_file_is_explained(empty: Wharf) -> None:
    empty("init")
    text = (empty.place / "wharf.yaml").read_text()
    sections = re.split(r"\n\n", text)
    assert all("#" in section for section in sections)


def test_the_configuration_is_written_where_config_says(empty: Wharf) -> None:
    said = empty("--config", "other.yaml", "init")
    assert "wharf --config other.yaml serve" in said.out
    assert not (empty.place / "wharf.yaml").exists()
    assert empty("--config", "other.yaml", "check").code == 0


def test_a_customer_that_no_configuration_may_name_is_refused_before_anything_is_made(empty: Wharf) -> None:
    assert "customer" in empty.refused("init", "--user", "bob", "--customer", "ac me", code="NAME_UNSAFE", exit=4)
    assert [*empty.place.iterdir()] == []
