"""The reference of the SFTP server says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from wharfinger.ingest.sftp import codec, session, verbs
from wharfinger.ingest.sftp.handle import PAGE
from wharfinger.ingest.sftp.hostkey import NAME
from wharfinger.ingest.sftp.server import ALGORITHMS
from wharfinger.ingest.sftp.tree import STANDARD

PAGE_TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "sftp.md").read_text()


@pytest.mark.parametrize(("name", "version"), codec.EXTENSIONS.items())
def test_every_extension_is_in_the_reference_with_its_version(name: str, version: str) -> None:
    (line,) = [line for line in PAGE_TEXT.splitlines() if f"`{name}`" in line]
    assert f"| {version} |" in line


@pytest.mark.parametrize("kind", ["encryption_algs", "mac_algs"])
def test_every_cipher_and_mac_is_in_the_reference_in_order(kind: str) -> None:
    assert "`, `".join(ALGORITHMS[kind].split(",")) in PAGE_TEXT


def test_every_limit_is_in_the_reference() -> None:
    for number in (codec.MAX_PACKET, codec.MAX_DATA, verbs.MAX_HANDLES, session.MAX_UNFINISHED, PAGE):
        assert f"{number:,}" in PAGE_TEXT
    assert f"{session.MAX_PROMISED >> 20} MiB" in PAGE_TEXT


@pytest.mark.parametrize("word", [*STANDARD, NAME, *(code.name for code in codec.Code)])
def test_every_directory_file_and_status_is_in_the_reference(word: str) -> None:
    assert word in PAGE_TEXT
