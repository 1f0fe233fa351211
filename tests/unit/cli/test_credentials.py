from __future__ import annotations

import subprocess
from pathlib import Path

import asyncssh
import pytest
from argon2 import PasswordHasher, extract_parameters

from wharfinger.cli import credentials
from wharfinger.errors import UsageError


def public(kind: str = "ssh-ed25519", **options: int) -> str:
    return asyncssh.generate_private_key(kind, comment="bob@home", **options).export_public_key().decode()


def test_a_sound_key_is_kept_with_its_comment() -> None:
    text = public()
    assert credentials.public_key(text) == text.strip()


@pytest.mark.parametrize("text", ["", "hello", "ssh-ed25519 AAAA", "ssh-ed25519 !!!!"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        credentials.public_key(text)
    assert caught.value.code == "KEY_INVALID"
    assert caught.value.fix


def test_a_private_key_is_refused_before_anything_is_stored() -> None:
    private = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    for take in (credentials.public_key, credentials.public_keys):
        with pytest.raises(UsageError) as caught:
            take(private)
        assert caught.value.code == "KEY_PRIVATE"


def test_a_short_rsa_key_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        credentials.public_key(public("ssh-rsa", key_size=1024))
    assert caught.value.code == "KEY_WEAK"
    assert "1024" in str(caught.value)


def test_rsa_and_ecdsa_keys_of_good_length_are_taken() -> None:
    assert credentials.public_key(public("ssh-rsa", key_size=2048)).startswith("ssh-rsa ")
    assert credentials.public_key(public("ecdsa-sha2-nistp256")).startswith("ecdsa-")


def test_a_file_of_keys_may_have_comments_and_empty_lines() -> None:
    one, two = public(), public()
    assert credentials.public_keys(f"# partners\n\n{one}\n{two}") == (one.strip(), two.strip())


def test_a_fingerprint_is_the_one_of_ssh_keygen(tmp_path: Path) -> None:
    credentials.new_key(tmp_path / "key", "bob")
    said = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True)
    assert credentials.fingerprint((tmp_path / "key.pub").read_text()) == said.stdout.split()[1]


def test_a_new_private_key_is_for_its_owner_alone_and_replaces_none(tmp_path: Path) -> None:
    key = tmp_path / "keys" / "bob"
    line = credentials.new_key(key, "bob@wharf")
    assert key.stat().st_mode & 0o777 == 0o600
    assert credentials.public_key(line).endswith("bob@wharf")
    with pytest.raises(FileExistsError):
        credentials.new_key(key, "bob@wharf")


def test_a_password_is_kept_as_argon2id_of_the_chosen_cost() -> None:
    hashed = credentials.password_hash("correct horse battery")
    cost = extract_parameters(hashed)
    assert (cost.memory_cost, cost.time_cost, cost.parallelism) == (19 * 1024, 2, 1)
    assert PasswordHasher().verify(hashed, "correct horse battery")
    assert credentials.is_password_hash(hashed)
    assert not credentials.is_password_hash("correct horse battery")


def test_a_short_password_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        credentials.password_hash("secret")
    assert caught.value.code == "PASSWORD_WEAK"


def test_generated_passwords_differ_and_are_long_enough() -> None:
    assert credentials.new_password() != credentials.new_password()
    credentials.password_hash(credentials.new_password())
