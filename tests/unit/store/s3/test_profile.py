"""Credentials of a profile, read where the environment has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from wharfinger.errors import ConfigError
from wharfinger.store.s3.profile import provider

FILE = """\
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = first%secret
[other]
aws_access_key_id = AKIAOTHER
aws_secret_access_key = second
aws_session_token = token
[role]
role_arn = arn:aws:iam::1:role/x
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "credentials").write_text(FILE)
    return {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}


def test_the_default_profile_is_used_where_nothing_else_is_said(environ: dict[str, str]) -> None:
    read = provider(environ)
    assert read is not None
    found = read()
    assert (found["access_key_id"], found["secret_access_key"], found.get("token")) == (
        "AKIADEFAULT",
        "first%secret",
        None,
    )


def test_a_named_profile_comes_before_the_keys_of_the_environment(environ: dict[str, str]) -> None:
    read = provider({**environ, "AWS_PROFILE": "other", "AWS_ACCESS_KEY_ID": "AKIAENV"})
    assert read is not None
    assert (read()["access_key_id"], read().get("token")) == ("AKIAOTHER", "token")


def test_keys_that_were_changed_in_the_file_are_used(environ: dict[str, str]) -> None:
    read = provider(environ)
    path = Path(environ["AWS_SHARED_CREDENTIALS_FILE"])
    path.write_text(FILE.replace("AKIADEFAULT", "AKIANEW"))
    assert read is not None
    assert read()["access_key_id"] == "AKIANEW"


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"])
def test_what_the_environment_has_is_left_to_obstore(environ: dict[str, str], name: str) -> None:
    assert provider({**environ, name: "x"}) is None


def test_without_a_profile_nothing_is_read(tmp_path: Path) -> None:
    assert provider({"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}) is None


@pytest.mark.parametrize("profile", ["role", "nobody"])
def test_a_named_profile_without_keys_is_refused_with_what_mends_it(environ: dict[str, str], profile: str) -> None:
    with pytest.raises(ConfigError, match=profile) as refusal:
        provider({**environ, "AWS_PROFILE": profile})
    assert "export-credentials" in refusal.value.fix


def test_a_file_that_cannot_be_read_is_not_quoted(environ: dict[str, str]) -> None:
    Path(environ["AWS_SHARED_CREDENTIALS_FILE"]).write_text("aws_secret_access_key = secret\n")
    with pytest.raises(ConfigError) as refusal:
        provider({**environ, "AWS_PROFILE": "other"})
    assert "= secret" not in str(refusal.value)
    assert refusal.value.__cause__ is None
