"""What `wharf check` shows of a configuration."""

from __future__ import annotations

import pytest

from wharfinger.cli.check import _without_secret


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:secret@files/custody",
        "s3://AKIA:secret/more@files",
        "s3://files?endpoint=https://user:secret@host:9000&region=x",
        "postgresql://wharf:secret@db.example/wharf",
    ],
)
def test_a_secret_in_a_url_is_not_shown(url: str) -> None:
    assert "secret" not in _without_secret(url)


@pytest.mark.parametrize(
    "url",
    ["local", "sqlite", "file:///srv/a:b", "s3://files/p?endpoint=http://host:9000", "postgresql://wharf@db:5432/w"],
)
def test_a_url_without_one_is_shown_as_it_is(url: str) -> None:
    assert _without_secret(url) == url
