"""
Whose signatures hold on this node: those of its own keys, and of keys that one of them has endorsed, however far.

All who share a ledger sign with one ring, a file that the operator copies to each node. The ledger tells of every public key that any of
them has; so a node knows that its ring is not the ledger's, or that another node has replaced its key, and can check what the new
key signs. The ledger itself is not believed: who can write there cannot endorse.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson

from wharfinger.errors import LedgerError
from wharfinger.ledger import Audit
from wharfinger.ledger.keyring import NAME, Keyring, PublicKey, public
from wharfinger.ledger.signature import Signed


def join(data: Path, audit: Audit) -> Keyring:
    """
    The keys in `data`, made known to all who share the ledger; the first is made where there is none anywhere. Raises LedgerError
    (SIGNING_KEYS_FOREIGN) where others than these sign for this ledger.
    """
    known = audit.publish([])
    if (data / NAME).exists() or not known:
        ring = Keyring(data)
        known = audit.publish(_documents(ring))
        if set(known) & set(_documents(ring)):
            return ring
    raise foreign(data, known)


def begin(data: Path, audit: Audit) -> Keyring:
    """Likewise, where all who sign for this ledger have lost their keys: what they signed is no longer trusted here."""
    ring = Keyring(data)
    audit.publish(_documents(ring), anew=True)
    return ring


def rotate(ring: Keyring, audit: Audit) -> PublicKey:
    """Sign with a new key from now on, and make it known. A crash between is made good by the next `join`."""
    key = ring.rotate()
    audit.publish(_documents(ring))
    return key


def foreign(data: Path, known: Sequence[bytes]) -> LedgerError:
    """Why the keys in `data`, or none, are not fit to sign for a ledger that knows these."""
    return LedgerError(
        f"{data / NAME}: this ledger is signed with key {_read(known)[-1].id}, which this node does not have",
        code="SIGNING_KEYS_FOREIGN",
        fix=f"copy {NAME} from the data directory of a node that has it; if it is lost everywhere: wharf signing begin",
    )


class Trust:
    """Looks at the ring and at the ledger as they are when it is made."""

    def __init__(self, ring: Keyring, audit: Audit) -> None:
        self.own = tuple(ring.public())
        self.known = _read(audit.publish([]))
        self.keys = _endorsed(self.own, self.known)

    def holds(self, signed: Signed) -> bool:
        """Whether a key that is trusted here signed this."""
        return any(key.id == signed.key and signed.is_by(key.public) for key in self.keys)

    def is_foreign(self) -> bool:
        """Whether the ledger knows keys, and none of this node's."""
        return bool(self.known) and not any(key in self.own for key in self.known)

    def newer(self) -> Sequence[PublicKey]:
        """Keys that have followed this node's, elsewhere."""
        return [key for key in self.keys if key not in self.own]

    def strangers(self) -> Sequence[PublicKey]:
        """Keys that the ledger tells of and that no key of this node's vouches for."""
        return [key for key in self.known if key not in self.keys]


def _endorsed(own: Sequence[PublicKey], known: Sequence[PublicKey]) -> tuple[PublicKey, ...]:
    trusted = [*own]
    for key in trusted:  # it grows on the way
        trusted += [each for each in known if each not in trusted and each.is_endorsed_by(key)]
    return tuple(trusted)


def _documents(ring: Keyring) -> list[bytes]:
    return [bytes(key) for key in ring.public()]


def _read(documents: Sequence[bytes]) -> tuple[PublicKey, ...]:
    return tuple(public(orjson.loads(document)) for document in documents)
