"""The tree, held against the definition in RFC 6962, section 2.1."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.ledger import merkle
from wharfinger.ledger.evidence import verify


def defined(leaves: list[bytes]) -> bytes:
    """MTH(D[n]), word for word."""
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + defined(leaves[:k]) + defined(leaves[k:])).digest()


def proven(leaves: list[bytes], m: int) -> list[bytes]:
    """PATH(m, D[n]), word for word."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*proven(leaves[:k], m), defined(leaves[k:])]
    return [*proven(leaves[k:], m - k), defined(leaves[:k])]


@pytest.mark.parametrize("count", [*range(1, 34), 100, 129])
def test_root_and_paths_are_those_of_the_definition(count: int) -> None:
    leaves = [b"leaf %d" % n for n in range(count)]
    assert merkle.root(leaves) == defined(leaves)
    for n in range(count):
        assert merkle.path(leaves, n) == proven(leaves, n)


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=70), st.data())
def test_a_path_leads_to_the_root_from_its_own_leaf_only(leaves: list[bytes], data: st.DataObject) -> None:
    n = data.draw(st.integers(0, len(leaves) - 1))
    root, steps = merkle.root(leaves).hex(), [step.hex() for step in merkle.path(leaves, n)]
    assert verify.climb(leaves[n], n, len(leaves), steps) == root
    assert verify.climb(leaves[n] + b"!", n, len(leaves), steps) != root
    for other in range(len(leaves)):
        if leaves[other] != leaves[n]:
            assert verify.climb(leaves[other], n, len(leaves), steps) != root
    assert verify.climb(leaves[n], n, len(leaves), [*steps, "00" * 32]) != root
    if steps:
        assert verify.climb(leaves[n], n, len(leaves), steps[:-1]) != root


def test_a_node_is_no_leaf() -> None:
    leaves = [b"a", b"b"]
    node = b"".join(sha256(b"\x00" + leaf).digest() for leaf in leaves)
    assert merkle.root([node]) != merkle.root(leaves)
