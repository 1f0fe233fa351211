"""
Signed statements: what can be checked anywhere, by whoever has the public key.

{"key":"6f1c...","signature":"...","statement":{"type":"wharfinger.arrival/1",...}}

The signature (Ed25519, RFC 8032; 64 bytes as hex) is over the statement in canonical JSON (RFC 8785): UTF-8, no spaces, names
sorted. Statements hold texts, whole numbers, lists and objects, and their names are ASCII; so every JSON library writes the same
bytes. `type` says what is stated, so that no statement can be taken for one of another kind. `key` names the public key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from wharfinger.errors import Unproven

Statement = Mapping[str, Any]

_KEY = re.compile(r"[0-9a-f]{16}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")
_FIX = "take the file as it was handed out: one line of JSON with key, signature and statement"


@dataclass(frozen=True, slots=True)
class Signed:
    """A statement under a signature; whether it holds, `is_by` says."""

    statement: Statement
    key: str  # the id of the key that signed: 16 hex digits
    signature: str  # 128 hex digits

    def __bytes__(self) -> bytes:
        """One line of canonical JSON."""
        return canonical(self.document()) + b"\n"

    def document(self) -> dict[str, Any]:
        """The same as a value."""
        return {"key": self.key, "signature": self.signature, "statement": self.statement}

    def is_by(self, public: str) -> bool:
        """Whether the holder of this public key (64 hex digits) signed exactly this statement."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
            key.verify(bytes.fromhex(self.signature), canonical(self.statement))
        except (InvalidSignature, ValueError):
            return False
        return True


def canonical(value: Any) -> bytes:
    """`value` in canonical JSON."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(statement: Statement) -> str:
    """By which one statement names another: the SHA-256 (hex) of its canonical JSON, whoever signs it."""
    return hashlib.sha256(canonical(statement)).hexdigest()


def size(statement: Statement) -> int:
    """The bytes that the statement will have once it is signed."""
    return len(bytes(Signed(statement, "0" * 16, "0" * 128)))


def key_id(public: str) -> str:
    """The id of a public key: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()[:16]


def read(line: bytes) -> Signed:
    """The signed statement of one line. Raises Unproven where it is none, or not written as `bytes` writes it."""
    try:
        said = orjson.loads(line)
        signed = Signed(said["statement"], said["key"], said["signature"])
        sound = (
            _KEY.fullmatch(signed.key) and _SIGNATURE.fullmatch(signed.signature) and _is_statement(signed.statement)
        )
    except (orjson.JSONDecodeError, KeyError, TypeError) as exc:
        raise Unproven(f"this is no signed statement: {exc}", fix=_FIX) from exc
    if not sound or bytes(signed).strip() != line.strip():
        raise Unproven("this is no signed statement as wharf writes it, or it was changed", fix=_FIX)
    return signed


def _is_statement(said: object) -> bool:
    return isinstance(said, dict) and isinstance(said.get("type"), str)
