"""The URL of a store in S3, and what is no such URL."""

from __future__ import annotations

import pytest

from wharfinger.errors import ConfigError
from wharfinger.store.s3.address import Address, address


def test_a_bucket_is_enough() -> None:
    assert address("s3://files") == Address("files")


def test_all_that_may_stand_in_it() -> None:
    found = address("s3://files/a/b/?endpoint=http://127.0.0.1:9000/&region=eu-north-1")
    assert found == Address("files", "a/b", "http://127.0.0.1:9000", "eu-north-1")
    assert str(found) == "s3://files/a/b"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("s3://", "is no name of a bucket"),
        ("s3:///path", "is no name of a bucket"),
        ("s3://Files", "is no name of a bucket"),
        ("s3://files/a b", "other characters"),
        ("s3://files/../x", "other characters"),
        ("s3://files?endpont=http://x", "'endpont' is no option"),
        ("s3://files?endpoint=127.0.0.1:9000", "no URL of the form"),
    ],
)
def test_what_is_refused_and_why(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refusal:
        address(url)
    assert refusal.value.fix


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:secret@files",
        "s3://AKIA:secret/more@files",
        "s3://AKIA:secret",
        "s3://files?endpoint=http://AKIA:secret@host",
    ],
)
def test_credentials_in_it_are_refused_and_never_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        address(url)
    assert "secret" not in f"{refusal.value} {refusal.value.fix}"
