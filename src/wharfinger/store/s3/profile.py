"""Credentials from a profile of AWS's shared files, where the environment has none."""

from __future__ import annotations

import configparser
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from wharfinger.errors import ConfigError

if TYPE_CHECKING:
    from obstore.store import S3Credential

AGAIN = timedelta(minutes=5)
"""How long what was read is used before the file is looked at again: whoever rotates keys need restart nothing."""

_ELSEWHERE = (  # what obstore finds by itself
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def provider(environ: Mapping[str, str]) -> Callable[[], S3Credential] | None:
    """
    What reads the profile that AWS_PROFILE names (`default` without it); None where credentials come from elsewhere or there is no such
    profile. Raises ConfigError where a profile is named that has no keys.
    """
    named = environ.get("AWS_PROFILE", "")
    if not named and any(environ.get(name) for name in _ELSEWHERE):
        return None
    path = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path.home() / ".aws" / "credentials")
    profile = named or "default"
    if _keys(path, profile) is None:
        if not named:
            return None
        raise ConfigError(
            f"store: {path} has no profile {named!a} with aws_access_key_id and aws_secret_access_key",
            fix="add it, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            " (of a role or a single sign-on: aws configure export-credentials)",
        )
    return lambda: _credential(path, profile)


def _credential(path: Path, profile: str) -> S3Credential:
    keys = _keys(path, profile) or {}
    return {
        "access_key_id": keys.get("aws_access_key_id", ""),
        "secret_access_key": keys.get("aws_secret_access_key", ""),
        "token": keys.get("aws_session_token"),
        "expires_at": datetime.now(UTC) + AGAIN,
    }


def _keys(path: Path, profile: str) -> Mapping[str, str] | None:
    files = configparser.RawConfigParser()
    try:
        files.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return None
    if not files.has_option(profile, "aws_access_key_id") or not files.has_option(profile, "aws_secret_access_key"):
        return None
    return dict(files.items(profile))
