"""
Checkpoints: signed statements over the histories of all files that changed since the one before.

A leaf is the head of one history: the JSON text ["FILE_ID",n,"HASH"] of its last event, on whose hash all events before it hang.
The statement has the Merkle root over the leaves, in the order of file_id, and the hash of the checkpoint before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from wharfinger.ledger import AuditCheckpoint, Head, Sign, merkle, signature
from wharfinger.ledger.keyring import Keyring
from wharfinger.ledger.signature import Signed, Statement
from wharfinger.model import instant

TYPE = "wharfinger.checkpoint/1"

WAITS_SINCE = """
SELECT coalesce((SELECT at FROM audit_checkpoint ORDER BY n DESC LIMIT 1), (SELECT min(at) FROM file))
WHERE EXISTS (SELECT 1 FROM audit_pending)
"""
"""Since when (µs) some file waits for its checkpoint; no row where none does."""


def signer(keyring: Keyring) -> Sign:
    """What `Audit.checkpoint` asks to sign."""
    return partial(_sign, keyring.sign)


def leaf(head: Head) -> bytes:
    """The bytes under the Merkle root."""
    return signature.canonical([head.file_id, head.n, head.hash])


def statement(heads: Sequence[Head], before: AuditCheckpoint | None, at: float) -> Statement:
    """What is signed of these heads; `before` is the last checkpoint."""
    return {
        "type": TYPE,
        "n": before.n + 1 if before else 1,
        "at": instant(at),
        "leaves": len(heads),
        "root": merkle.root([leaf(head) for head in heads]).hex(),
        "previous": signature.digest(signature.read(before.signed).statement) if before else "",
    }


def _sign(
    sign: Callable[[Statement], Signed], heads: Sequence[Head], before: AuditCheckpoint | None, at: float
) -> bytes:
    return bytes(sign(statement(heads, before, at)))
