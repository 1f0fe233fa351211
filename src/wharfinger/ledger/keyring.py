"""
The keys that an installation signs with: one that signs, and the public halves of all that ever did.

They are one file in the data directory, for its owner alone, replaced whole. A rotation makes a new key, has the old one endorse it,
and forgets the old one's private half: nobody can sign with it any more, and what it signed can be checked for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from wharfinger.errors import LedgerError
from wharfinger.ledger import signature
from wharfinger.ledger.signature import Signed, Statement, key_id
from wharfinger.model import instant
from wharfinger.store import disk

NAME = "signing-keys.json"
"""The file in the data directory."""

ENDORSEMENT = "wharfinger.key/1"
"""The type of the statement by which a key says which one follows it."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What everybody may know of a key."""

    id: str  # 16 hex digits
    public: str  # 64 hex digits
    since: str  # RFC 3339, UTC
    endorsement: Signed | None  # by the key before it; None for the first

    def document(self) -> dict[str, Any]:
        """The same as JSON has it."""
        endorsement = self.endorsement and self.endorsement.document()
        return {"id": self.id, "public": self.public, "since": self.since, "endorsement": endorsement}

    def __bytes__(self) -> bytes:
        """One text for each key, in canonical JSON."""
        return signature.canonical(self.document())

    def is_endorsed_by(self, other: PublicKey) -> bool:
        """Whether the holder of `other` has signed that this key follows."""
        stated = {"type": ENDORSEMENT, "key": self.id, "public": self.public, "since": self.since}
        signed = self.endorsement
        return signed is not None and signed.statement == stated and signed.is_by(other.public)


@dataclass(frozen=True, slots=True)
class _Ring:
    private: bytes  # of the last key
    keys: tuple[PublicKey, ...]

    def sign(self, statement: Statement) -> Signed:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        made = Ed25519PrivateKey.from_private_bytes(self.private).sign(signature.canonical(statement))
        return Signed(statement, self.keys[-1].id, made.hex())


class Keyring:
    """
    The keys in the directory `data`; the first one is made when the ring is first opened. Another process's rotation is noticed.
    Raises LedgerError (SIGNING_KEYS_UNUSABLE) where the file cannot be read or written. Safe to use from several threads.
    """

    def __init__(self, data: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = data / NAME
        self._clock = clock
        self._read: tuple[tuple[int, int, int], _Ring] | None = None
        with _telling(self.path):
            disk.make_secret(str(self.path), lambda: _text(_new((), self._clock())))
        self._ring()

    def sign(self, statement: Statement) -> Signed:
        """The statement under the present key. Ed25519 has no randomness: the same statement and key give the same bytes."""
        return self._ring().sign(statement)

    def public(self) -> Sequence[PublicKey]:
        """All keys, oldest first: the last one signs."""
        return self._ring().keys

    def holds(self, signed: Signed) -> bool:
        """Whether one of the keys signed this."""
        return any(key.id == signed.key and signed.is_by(key.public) for key in self.public())

    def rotate(self) -> PublicKey:
        """Sign with a new key from now on. A crash leaves the old ring or the new one."""
        with _telling(self.path), disk.alone(str(self.path.parent)):
            ring = _new(self._ring().keys, self._clock(), self._ring().sign)
            disk.replace_secret(str(self.path), _text(ring))
        return ring.keys[-1]

    def _ring(self) -> _Ring:
        with _telling(self.path):
            found = self.path.stat()
            stamp = found.st_ino, found.st_mtime_ns, found.st_size
            if self._read is None or self._read[0] != stamp:
                self._read = stamp, _parsed(self.path.read_bytes())
            return self._read[1]


def _new(before: tuple[PublicKey, ...], now: float, endorse: Callable[[Statement], Signed] | None = None) -> _Ring:
    """A ring with one more key, endorsed by the one that has signed so far."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made = Ed25519PrivateKey.generate()
    public, since = made.public_key().public_bytes_raw().hex(), instant(now)
    stated = {"type": ENDORSEMENT, "key": key_id(public), "public": public, "since": since}
    key = PublicKey(key_id(public), public, since, endorse(stated) if endorse else None)
    return _Ring(made.private_bytes_raw(), (*before, key))


def _parsed(text: bytes) -> _Ring:
    said = orjson.loads(text)
    return _Ring(bytes.fromhex(said["private"]), tuple(public(key) for key in said["keys"]))


def public(said: Mapping[str, Any]) -> PublicKey:
    """The key of this document."""
    by = said["endorsement"]
    endorsement = by and Signed(by["statement"], by["key"], by["signature"])
    return PublicKey(said["id"], said["public"], said["since"], endorsement)


def _text(ring: _Ring) -> bytes:
    document = {"private": ring.private.hex(), "keys": [key.document() for key in ring.keys]}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    fix = "let the user that runs wharf read and write it, or restore it from a backup"
    try:
        yield
    except OSError as exc:
        raise LedgerError(f"{path}: {exc.strerror}", code="SIGNING_KEYS_UNUSABLE", fix=fix) from exc
    except (ValueError, KeyError, TypeError) as exc:  # orjson's errors are ValueErrors
        raise LedgerError(f"{path} is damaged: {exc}", code="SIGNING_KEYS_UNUSABLE", fix=fix) from exc
