from __future__ import annotations

import gzip
import io
import random
from contextlib import suppress
from pathlib import Path

import pytest

from rig.archives import raw_deflate
from wharfinger.errors import Rejected
from wharfinger.steps import testkit
from wharfinger.steps.guard import Guard, Limits
from wharfinger.steps.inflate import PIECE_IN, PIECE_OUT, gunzip, inflate

TEXT = b"".join(b"%d,%s\n" % (n, random.Random(n).randbytes(3).hex().encode()) for n in range(300))
PACKED = gzip.compress(TEXT, mtime=0)


class File(io.BytesIO):
    """A Reader in memory."""

    name, media_type, sha256 = "a.gz", "application/gzip", ""
    arrival = testkit.arrival()

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.size = len(data)


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    return Guard(Limits(free=0), 1 << 30, tmp_path, code="DECOMPRESS_LIMIT")


def gunzipped(data: bytes, guard: Guard) -> bytes:
    return b"".join(gunzip(File(data), guard))


def code(data: bytes, guard: Guard) -> str:
    with pytest.raises(Rejected) as caught:
        gunzipped(data, guard)
    assert caught.value.fix
    return caught.value.code


def test_members_one_after_the_other_are_one_file(guard: Guard) -> None:
    assert gunzipped(PACKED + gzip.compress(b"") + PACKED, guard) == TEXT + TEXT


@pytest.mark.parametrize("zeros", [1, 511, 3 * PIECE_IN])
def test_zeros_after_a_member_are_padding(guard: Guard, zeros: int) -> None:
    assert gunzipped(PACKED + bytes(zeros), guard) == TEXT
    assert gunzipped(PACKED + bytes(zeros) + PACKED, guard) == TEXT + TEXT


@pytest.mark.parametrize("garbage", [b"x", b"\x1f", b"\0\0x", b"\x1f\x8c", bytes(3 * PIECE_IN) + b"\x1f"])
def test_anything_else_after_a_member_is_an_error_with_its_place(guard: Guard, garbage: bytes) -> None:
    where = len(PACKED) + len(garbage) - len(garbage.lstrip(b"\0"))
    with pytest.raises(Rejected, match=f"ends at byte {where:,} of {len(PACKED + garbage):,};") as caught:
        gunzipped(PACKED + garbage, guard)
    assert caught.value.code == "ARCHIVE_INCONSISTENT"


def test_file_cut_off_anywhere_is_truncated_and_says_where(guard: Guard) -> None:
    for cut in range(2, len(PACKED)):
        with pytest.raises(Rejected, match=f"cut off at byte {cut:,}$") as caught:
            gunzipped(PACKED[:cut], guard)
        assert caught.value.code == "ARCHIVE_TRUNCATED"


def test_second_member_cut_off_anywhere_is_truncated(guard: Guard) -> None:
    for cut in range(2, len(PACKED), 7):
        assert code(PACKED + PACKED[:cut], guard) == "ARCHIVE_TRUNCATED"


def test_one_flipped_bit_is_found_or_harmless(guard: Guard) -> None:
    for at in range(len(PACKED) * 8):
        broken = bytearray(PACKED)
        broken[at // 8] ^= 1 << at % 8
        with suppress(Rejected):
            assert gunzipped(bytes(broken), guard) == TEXT


def test_wrong_checksum_and_wrong_length_are_found(guard: Guard) -> None:
    assert code(PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], guard) == "INTEGRITY_MISMATCH"
    assert code(PACKED[:-4] + b"\0\0\0\0", guard) == "INTEGRITY_MISMATCH"


def test_output_comes_in_bounded_pieces(guard: Guard) -> None:
    packed = gzip.compress(bytes(5 * PIECE_OUT))
    pieces = [len(piece) for piece in gunzip(File(packed), guard)]
    assert sum(pieces) == 5 * PIECE_OUT == guard.output
    assert max(pieces) <= PIECE_OUT


def test_bomb_is_stopped_at_its_limit(tmp_path: Path) -> None:
    packed = gzip.compress(bytes(30 << 20))
    watched = Guard(Limits(free=0), len(packed), tmp_path, code="DECOMPRESS_LIMIT")
    assert code(packed, watched) == "DECOMPRESS_LIMIT"
    assert watched.output <= (10 << 20) + PIECE_OUT


def test_many_tiny_members_cost_processor_time_only_up_to_its_limit(tmp_path: Path) -> None:
    watched = Guard(Limits(free=0, cpu_s=0.2), 1 << 20, tmp_path, code="DECOMPRESS_LIMIT")
    assert code(gzip.compress(b"") * 500_000, watched) == "CPU_LIMIT"


def test_raw_data_is_read_from_its_place_to_its_end(guard: Guard) -> None:
    packed = raw_deflate(TEXT)
    source = File(b"before" + packed + b"after")
    source.seek(6)
    assert b"".join(inflate(source, len(packed), guard)) == TEXT


@pytest.mark.parametrize(("more", "expected"), {-1: "ARCHIVE_TRUNCATED", 1: "ARCHIVE_INCONSISTENT"}.items())
def test_raw_data_must_end_where_it_is_said_to(guard: Guard, more: int, expected: str) -> None:
    packed = raw_deflate(TEXT)
    with pytest.raises(Rejected) as caught:
        b"".join(inflate(File(packed + b"after"), len(packed) + more, guard))
    assert caught.value.code == expected
