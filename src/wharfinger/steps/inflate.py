"""Inflates deflate data (RFC 1951) in bounded pieces, behind the guard: gzip files and single members of other containers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NoReturn

from isal.igzip_lib import DECOMP_DEFLATE, DECOMP_GZIP, IgzipDecompressor, IsalError

from wharfinger.errors import Rejected
from wharfinger.steps import Reader
from wharfinger.steps.guard import Guard

PIECE_IN = 64 << 10
"""Bytes read at once. Small, since what follows a gzip member is copied: a file of many tiny members must not be slow."""

PIECE_OUT = 1 << 20
"""Most bytes that come out at once."""

GZIP = b"\x1f\x8b"
"""ID1 and ID2, with which each member begins (RFC 1952, section 2.3.1)."""

AGAIN = "ask the sender for the file again"


def gunzip(source: Reader, guard: Guard) -> Iterator[bytes]:
    """
    What is in a gzip file of one or more members (RFC 1952, section 2.2). Zeros after a member are padding, anything else is
    not: raises Rejected (ARCHIVE_TRUNCATED, ARCHIVE_INCONSISTENT, INTEGRITY_MISMATCH).
    """
    feed = partial(source.read, PIECE_IN)
    rest = feed()
    while rest:
        member = IgzipDecompressor(flag=DECOMP_GZIP)
        yield from _drain(member, rest, feed, source, guard)
        rest = _after_padding(member.unused_data, source, guard)


def inflate(source: Reader, size: int, guard: Guard) -> Iterator[bytes]:
    """What is in the next `size` bytes, raw deflate data without a checksum. Raises Rejected as `gunzip` does."""
    end = source.tell() + size
    stream = IgzipDecompressor(flag=DECOMP_DEFLATE)
    yield from _drain(stream, b"", lambda: source.read(min(PIECE_IN, end - source.tell())), source, guard)
    if stream.unused_data or source.tell() < end:
        what = f"the compressed data ends before byte {end:,}, where it should"
        raise Rejected(what, code="ARCHIVE_INCONSISTENT", fix=AGAIN)


def _drain(
    stream: IgzipDecompressor, data: bytes, feed: Callable[[], bytes], source: Reader, guard: Guard
) -> Iterator[bytes]:
    while not stream.eof:
        if stream.needs_input and not data:
            data = feed() or _truncated(source)
        try:
            piece = stream.decompress(data, PIECE_OUT)
        except IsalError as exc:  # type: ignore[misc]  # its stub calls the class an instance
            why = f"the compressed data is damaged, before byte {source.tell():,} of {source.size:,}: {exc}"
            raise Rejected(why, code="INTEGRITY_MISMATCH", fix=AGAIN) from exc
        data = b""
        guard.grow(len(piece))
        if piece:
            yield piece


def _after_padding(rest: bytes, source: Reader, guard: Guard) -> bytes:
    rest = rest.lstrip(b"\0")
    while not rest and (piece := source.read(PIECE_IN)):
        guard.grow(0)
        rest = piece.lstrip(b"\0")
    if len(rest) == 1:
        rest += source.read(1)
    if rest and not rest.startswith(GZIP):
        where = source.tell() - len(rest)
        what = f"the gzip data ends at byte {where:,} of {source.size:,}; what follows is something else"
        raise Rejected(what, code="ARCHIVE_INCONSISTENT", fix=AGAIN)
    return rest


def _truncated(source: Reader) -> NoReturn:
    what = f"the compressed data is cut off at byte {source.tell():,}"
    raise Rejected(what, code="ARCHIVE_TRUNCATED", fix=AGAIN)
