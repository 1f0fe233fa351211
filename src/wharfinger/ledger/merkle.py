"""Merkle trees (RFC 6962, section 2.1): one hash over many leaves, and the path that shows that a leaf is among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import zip_longest

LEAF, NODE = b"\x00", b"\x01"
"""Prefixes that keep a leaf from being taken for a node (RFC 6962, 2.1)."""


def root(leaves: Sequence[bytes]) -> bytes:
    """The hash of the tree over these leaves, at least one."""
    *_, (top,) = _levels(leaves)
    return top


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from the leaf at `index` to the root, the lowest first."""
    found = []
    for level in _levels(leaves):
        beside = index ^ 1
        if beside < len(level):
            found.append(level[beside])
        index >>= 1
    return found


def _levels(leaves: Sequence[bytes]) -> Iterator[list[bytes]]:
    """From the leaves' hashes to the root. One that has no neighbour goes up as it is: the left tree of RFC 6962 is always full."""
    level = [sha256(LEAF + leaf).digest() for leaf in leaves]
    yield level
    while len(level) > 1:
        pairs = zip_longest(level[::2], level[1::2])
        level = [sha256(NODE + left + right).digest() if right else left for left, right in pairs]
        yield level
