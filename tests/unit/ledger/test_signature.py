"""Signed statements: what is signed is what is read, to the byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.errors import Unproven
from wharfinger.ledger import signature
from wharfinger.ledger.keyring import Keyring
from wharfinger.ledger.signature import Signed

STATED = {"type": "wharfinger.test/1", "key": "acme/inbound/Überweisung ✓.csv", "size": 12, "list": [{"b": "", "a": 1}]}

# RFC 8032, 7.1, TEST 3
PUBLIC = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    texts | st.integers(-(2**53), 2**53) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdefgh_", min_size=1), values, max_size=5))
def test_every_json_library_writes_the_same_canonical_bytes(statement: dict[str, Any]) -> None:
    plain = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert signature.canonical(statement) == plain.encode()


def test_what_is_signed_reads_back_and_holds(tmp_path: Path) -> None:
    ring = Keyring(tmp_path)
    signed = ring.sign(STATED)
    again = signature.read(bytes(signed))
    assert again == signed
    assert again.is_by(ring.public()[-1].public)
    assert not again.is_by(PUBLIC)
    assert ring.holds(again)


def test_the_same_statement_signed_twice_is_the_same_bytes(tmp_path: Path) -> None:
    assert bytes(Keyring(tmp_path).sign(STATED)) == bytes(Keyring(tmp_path).sign(dict(reversed(STATED.items()))))


def test_the_size_is_known_before_anything_is_signed(tmp_path: Path) -> None:
    assert signature.size(STATED) == len(bytes(Keyring(tmp_path).sign(STATED)))


def test_one_byte_changed_anywhere_is_caught(tmp_path: Path) -> None:
    ring = Keyring(tmp_path)
    line = bytes(ring.sign(STATED))
    for n in range(len(line) - 1):
        for changed in {line[n] ^ 1, line[n] ^ 0x20, 0x20}:
            other = line[:n] + bytes([changed]) + line[n + 1 :]
            assert other == line or not holds(ring, other), other


def holds(ring: Keyring, line: bytes) -> bool:
    try:
        return ring.holds(signature.read(line))
    except Unproven:
        return False


def test_a_signature_is_over_exactly_the_canonical_bytes() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes_raw().hex()
    good = key.sign(signature.canonical(STATED)).hex()
    assert Signed(STATED, signature.key_id(public), good).is_by(public)
    spaced = key.sign(json.dumps(STATED).encode()).hex()
    assert not Signed(STATED, signature.key_id(public), spaced).is_by(public)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"7",
        b'{"key":1,"signature":2,"statement":3}',
        b'{"key":"k","statement":{"type":"x"}}',
        b'{"key":"0123456789abcdef","signature":"%s","statement":"type"}' % (b"0" * 128),
        b'{"key":"0123456789abcdef","signature":"%s","statement":{"type":7}}' % (b"0" * 128),
        b"\xff",
    ],
)
def test_what_is_no_signed_statement_is_told_so(line: bytes) -> None:
    with pytest.raises(Unproven, match="no signed statement"):
        signature.read(line)


def test_what_is_no_public_key_signs_nothing(tmp_path: Path) -> None:
    signed = Keyring(tmp_path).sign(STATED)
    assert not signed.is_by("00")
    assert not signed.is_by("not hex")
