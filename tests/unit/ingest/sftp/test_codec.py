"""The wire format: whatever comes in, requests or a clean error come out."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rig.packets import packet, string, u32, u64
from wharfinger.ingest.sftp import codec
from wharfinger.ingest.sftp.codec import Attrs, Code, Decoder, ProtocolError


def decode(stream: bytes) -> list[codec.Request]:
    return Decoder().feed(stream)


texts = st.text(max_size=40)
handles = st.binary(max_size=8)
words = st.integers(0, 2**32 - 1)
longs = st.integers(0, 2**64 - 1)
attrs = st.builds(
    Attrs,
    size=st.none() | longs,
    permissions=st.none() | words,
    atime=st.none(),
    mtime=st.none(),
) | st.builds(Attrs, size=st.none() | longs, permissions=st.none() | words, atime=words, mtime=words)


def encode_attrs(a: Attrs) -> bytes:
    flags = (a.size is not None) * 1 | (a.permissions is not None) * 4 | (a.mtime is not None) * 8
    out = u32(flags)
    if a.size is not None:
        out += u64(a.size)
    if a.permissions is not None:
        out += u32(a.permissions)
    if a.mtime is not None and a.atime is not None:
        out += u32(a.atime) + u32(a.mtime)
    return out


def encode(request: codec.Request) -> bytes:
    """What a client sends for this request."""
    match request:
        case codec.Init(id):
            return packet(1, id)
        case codec.Open(id, path, flags, a):
            return packet(3, id, string(path), u32(flags), encode_attrs(a))
        case codec.Close(id, handle):
            return packet(4, id, string(handle))
        case codec.Read(id, handle, offset, length):
            return packet(5, id, string(handle), u64(offset), u32(length))
        case codec.Write(id, handle, offset, data):
            return packet(6, id, string(handle), u64(offset), string(bytes(data)))
        case codec.Setstat(id, path, a):
            return packet(9, id, string(path), encode_attrs(a))
        case codec.Fsetstat(id, handle, a):
            return packet(10, id, string(handle), encode_attrs(a))
        case codec.Stat(id, path):
            return packet(17, id, string(path))
        case codec.Rename(id, old, new):
            return packet(18, id, string(old), string(new))
        case codec.PosixRename(id, old, new):
            return packet(200, id, string("posix-rename@openssh.com"), string(old), string(new))
        case codec.Fsync(id, handle):
            return packet(200, id, string("fsync@openssh.com"), string(handle))
        case codec.Limits(id):
            return packet(200, id, string("limits@openssh.com"))
    raise AssertionError(request)


requests = st.one_of(
    st.builds(codec.Init, words),
    st.builds(codec.Open, words, texts, words, attrs),
    st.builds(codec.Close, words, handles),
    st.builds(codec.Read, words, handles, longs, words),
    st.builds(codec.Write, words, handles, longs, st.binary(max_size=300).map(memoryview)),
    st.builds(codec.Setstat, words, texts, attrs),
    st.builds(codec.Fsetstat, words, handles, attrs),
    st.builds(codec.Stat, words, texts),
    st.builds(codec.Rename, words, texts, texts),
    st.builds(codec.PosixRename, words, texts, texts),
    st.builds(codec.Fsync, words, handles),
    st.builds(codec.Limits, words),
)


@given(st.lists(requests, max_size=8), st.lists(st.integers(1, 50), max_size=60))
def test_requests_survive_the_wire_however_the_stream_is_cut(sent: list[codec.Request], cuts: list[int]) -> None:
    stream = b"".join(encode(request) for request in sent)
    decoder, got, at = Decoder(), [], 0
    for cut in cuts:
        got += decoder.feed(stream[at : at + cut])
        at += cut
    got += decoder.feed(stream[at:])
    assert got == sent


@given(st.binary(max_size=400))
def test_any_bytes_give_requests_or_a_protocol_error(stream: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        decode(stream)


@given(st.integers(0, 255), words, st.binary(max_size=200))
def test_any_framed_packet_gives_one_request_with_its_id(kind: int, id: int, fields: bytes) -> None:
    (request,) = decode(packet(kind, id, fields))
    assert request.id == id


@given(requests, st.data())
def test_a_request_that_ends_early_is_malformed_and_never_another(request: codec.Request, data: st.DataObject) -> None:
    body = encode(request)[4:]
    end = data.draw(st.integers(5, len(body)))
    got = codec.parse(memoryview(body[:end]))
    assert got.id == request.id
    assert isinstance(got, codec.Malformed | codec.Unsupported) or type(got) is type(request)


@given(requests, st.binary(max_size=50))
def test_bytes_after_the_last_field_are_ignored(request: codec.Request, padding: bytes) -> None:
    assert codec.parse(memoryview(encode(request)[4:] + padding)) == request


def test_lstat_is_stat_and_owners_and_extended_attributes_are_skipped() -> None:
    assert decode(packet(7, 1, string("a"))) == [codec.Stat(1, "a")]
    attributes = u32(0x80000003) + u64(5) + u32(1000) + u32(1000) + u32(1) + string("x") + string("y")
    assert decode(packet(9, 1, string("a"), attributes)) == [codec.Setstat(1, "a", Attrs(size=5))]


def test_a_name_that_is_no_utf8_keeps_its_bytes() -> None:
    (request,) = decode(packet(17, 1, string(b"caf\xe9")))
    assert isinstance(request, codec.Stat)
    assert request.path.encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_unknown_types_and_extensions_are_named() -> None:
    assert decode(packet(99, 1)) == [codec.Unsupported(1, "packet type 99")]
    assert decode(packet(200, 2, string("hardlink@openssh.com"))) == [codec.Unsupported(2, "hardlink@openssh.com")]


@pytest.mark.parametrize("length", [0, 4, codec.MAX_PACKET + 1, 2**32 - 1])
def test_an_impossible_length_is_a_protocol_error(length: int) -> None:
    with pytest.raises(ProtocolError, match=str(length)):
        decode(u32(length) + b"\x11\0\0\0\0")


def test_a_string_longer_than_its_packet_is_malformed() -> None:
    assert decode(packet(4, 7, u32(2**32 - 1))) == [codec.Malformed(7)]


def test_the_largest_write_is_taken_in_pieces_as_ssh_brings_them() -> None:
    sent = encode(codec.Write(1, b"h", 0, memoryview(bytes(codec.MAX_DATA))))
    decoder = Decoder()
    got = [request for at in range(0, len(sent), 32768) for request in decoder.feed(sent[at : at + 32768])]
    assert [len(request.data) for request in got if isinstance(request, codec.Write)] == [codec.MAX_DATA]


def body(reply: bytes) -> bytes:
    """The packet without its length, which must be right."""
    assert struct.unpack_from(">I", reply)[0] == len(reply) - 4
    return reply[4:]


def test_replies_have_the_layout_of_the_draft() -> None:
    assert body(codec.status(7, Code.FAILURE, "no")) == b"\x65" + u32(7) + u32(4) + string("no") + string("en")
    assert body(codec.status(7, Code.OK)) == b"\x65" + u32(7) + u32(0) + string("") + string("")
    assert body(codec.handle(7, b"h")) == b"\x66" + u32(7) + string("h")
    assert body(codec.data(7, b"abc")) == b"\x67" + u32(7) + string("abc")
    assert body(codec.extended(7, 1, 2)) == b"\xc9" + u32(7) + u64(1) + u64(2)
    assert body(codec.version({"a@b": "1"})) == b"\x02" + u32(3) + string("a@b") + string("1")
    attributes = u32(15) + u64(5) + u32(0) + u32(0) + u32(0o100644) + u32(9) + u32(9)
    assert body(codec.attrs(7, codec.attributes(5, 0o100644, 9.7))) == b"\x69" + u32(7) + attributes
    names = codec.names(7, [codec.Name("n", "long", codec.NO_ATTRIBUTES)])
    assert body(names) == b"\x68" + u32(7) + u32(1) + string("n") + string("long") + u32(0)


@pytest.mark.parametrize("at", [-1.0, 0.0, 2.0**32, 1e18])
def test_times_that_the_protocol_cannot_hold_are_brought_into_range(at: float) -> None:
    assert len(codec.attributes(0, 0, at)) == 32
