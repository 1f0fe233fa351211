from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_STORED

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rig.archives import archive, entry, linked, overlapping, zipped
from wharfinger.errors import Rejected
from wharfinger.steps import testkit
from wharfinger.steps.guard import Guard, Limits
from wharfinger.steps.unzip import DIRECTORY, contents, is_document, only_member, open_zip

TEXT = b"id,amount\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(200))
SOUND = zipped({"in/a.csv": TEXT})
LIMITS = Limits(free=0)


class File(io.BytesIO):
    """A Reader in memory; like a file on disk, it refuses a position before its beginning."""

    name, media_type, sha256 = "a.zip", "application/zip", ""
    arrival = testkit.arrival()

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.size = len(data)


def unzipped(data: bytes, limits: Limits = LIMITS) -> tuple[str, bytes]:
    source = File(data)
    found = open_zip(source)
    guard = Guard(limits, source.size, Path("/"), code="ARCHIVE_EXPANSION_LIMIT")
    member = only_member(found, source, guard)
    return member.filename, b"".join(contents(member, source, guard))


def code(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(Rejected) as caught:
        unzipped(data, limits)
    assert caught.value.fix
    return caught.value.code


def one(
    name: bytes = b"a.csv", data: bytes = TEXT, *, prefix: bytes = b"", comment: bytes = b"", **wrong: object
) -> bytes:
    local, line = entry(name, data, **wrong)  # type: ignore[arg-type]
    return prefix + archive(local, [line], comment=comment)


@pytest.mark.parametrize(
    ("raw", "creator", "name"),
    [
        ("März.csv".encode(), 3, "März.csv"),  # Info-ZIP on Unix
        ("März.csv".encode(), 19, "März.csv"),  # macOS
        ("März.csv".encode("cp437"), 0, "März.csv"),  # DOS and Windows
        ("März.csv".encode("cp437"), 3, "März.csv"),
        ("März.csv".encode(), 0, "März.csv".encode().decode("cp437")),
    ],
)
def test_a_name_that_does_not_say_how_it_is_written(raw: bytes, creator: int, name: str) -> None:
    assert unzipped(one(raw, creator=creator)) == (name, TEXT)


@pytest.mark.parametrize("data", [SOUND, zipped({"in/a.csv": TEXT}, ZIP_STORED)], ids=["deflated", "stored"])
def test_single_member_comes_out(data: bytes) -> None:
    assert unzipped(data) == ("in/a.csv", TEXT)


def test_archive_with_a_comment_or_something_before_it_is_read() -> None:
    assert unzipped(one(comment=b"x" * 60_000)) == ("a.csv", TEXT)
    assert unzipped(one(prefix=b"#!/bin/sh\n")) == ("a.csv", TEXT)


def test_folders_and_what_macos_adds_are_no_members() -> None:
    assert unzipped(zipped({"in/": b"", "in/a.csv": TEXT, "__MACOSX/in/._a.csv": b"x"})) == ("in/a.csv", TEXT)


def test_several_members_are_refused_by_name() -> None:
    with pytest.raises(Rejected, match=r"has 4 files in it: 'a', 'b', 'c', \.\.\.") as caught:
        unzipped(zipped({"a": b"1", "b": b"2", "c": b"3", "d": b"4"}))
    assert caught.value.code == "ARCHIVE_MULTIPLE_MEMBERS"


@pytest.mark.parametrize("data", [zipped({}), zipped({"in/": b""})], ids=["nothing", "a folder"])
def test_archive_without_a_file_is_refused(data: bytes) -> None:
    assert code(data) == "ARCHIVE_EMPTY"


UNSOUND = {
    "encrypted": (one(flags=0x1), "PASSWORD_REQUIRED"),
    "strongly encrypted": (one(flags=0x41), "PASSWORD_REQUIRED"),
    "link": (linked("a", "/etc/passwd"), "ARCHIVE_UNSAFE_MEMBER"),
    "bzip2": (zipped({"a": TEXT}, ZIP_BZIP2), "ARCHIVE_METHOD_UNSUPPORTED"),
    "twice": (zipped({"a.csv": TEXT, "A.CSV": TEXT}), "ARCHIVE_DUPLICATE_ENTRY"),
    "file and folder": (zipped({"a": TEXT, "a/": b""}), "ARCHIVE_DUPLICATE_ENTRY"),
    "folder with contents": (one(b"a/"), "ARCHIVE_INCONSISTENT"),
    "wrong checksum": (one(crc=1), "INTEGRITY_MISMATCH"),
    "stored with a wrong checksum": (one(method=0, crc=1), "INTEGRITY_MISMATCH"),
    "more than declared": (one(size=5), "ARCHIVE_INCONSISTENT"),
    "less than declared": (one(size=len(TEXT) + 1), "ARCHIVE_INCONSISTENT"),
    "data over the directory": (one(packed_size=1 << 20), "ARCHIVE_OVERLAPPING_ENTRIES"),
    "too little data": (one(packed_size=10), "ARCHIVE_TRUNCATED"),
    "local name differs": (one(local_name=b"b.csv"), "ARCHIVE_INCONSISTENT"),
    "offset beyond the end": (one(offset=1 << 30), "ARCHIVE_INCONSISTENT"),
    "one kernel for all": (overlapping(20, 1000), "ARCHIVE_OVERLAPPING_ENTRIES"),
    "no directory": (entry(b"a", TEXT)[0], "ARCHIVE_TRUNCATED"),
    "invalid UTF-8": (one(b"\xff\xfe", flags=0x800), "ARCHIVE_INCONSISTENT"),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_unsound_archive_is_refused_under_its_code(case: str) -> None:
    data, expected = UNSOUND[case]
    assert code(data) == expected


UNSAFE = ["../a", "/a", "a/../../b", "a\\b", "C:a", "a\x07", "nul.txt", "a.", "..", "a//b", "./a"]


@pytest.mark.parametrize("name", UNSAFE)
def test_name_that_leads_out_is_refused(name: str) -> None:
    assert code(one(name.encode())) == "ARCHIVE_UNSAFE_PATH"


def test_name_with_nul_is_refused_though_the_library_cuts_it_there() -> None:
    assert code(one(b"good.csv\0../../evil")) == "ARCHIVE_UNSAFE_PATH"


def test_unsafe_name_beside_the_member_refuses_the_whole_archive() -> None:
    assert code(zipped({"a.csv": TEXT, "__MACOSX/../../x": b""})) == "ARCHIVE_UNSAFE_PATH"


def test_bomb_of_many_entries_is_refused_before_its_first_byte() -> None:
    assert code(overlapping(300, 1 << 20)) == "ARCHIVE_EXPANSION_LIMIT"


def test_bomb_that_declares_little_is_stopped_where_the_declaration_ends() -> None:
    assert code(one(data=bytes(30 << 20), size=1000)) == "ARCHIVE_INCONSISTENT"


def test_bomb_of_one_member_is_refused_by_its_declaration() -> None:
    assert code(one(data=bytes(30 << 20))) == "ARCHIVE_EXPANSION_LIMIT"


def test_directory_too_large_to_hold_is_not_read() -> None:
    local, line = entry(b"a" * 60_000, b"")
    with pytest.raises(Rejected, match="at most 4,194,304 are read"):
        unzipped(archive(local, [line] * (DIRECTORY // 60_000 + 1)))


def test_directory_that_points_before_the_file_is_inconsistent() -> None:
    data = bytearray(one())
    struct.pack_into("<I", data, len(data) - 10, len(data))  # the size of the directory (APPNOTE 4.3.16)
    assert code(bytes(data)) == "ARCHIVE_INCONSISTENT"


def test_archive_cut_off_anywhere_is_refused() -> None:
    for cut in range(4, len(SOUND)):
        assert code(SOUND[:cut]) in ("ARCHIVE_TRUNCATED", "ARCHIVE_INCONSISTENT"), cut


def test_one_flipped_bit_is_found_or_harmless() -> None:
    for at in range(len(SOUND) * 8):
        broken = bytearray(SOUND)
        broken[at // 8] ^= 1 << at % 8
        with suppress(Rejected):
            assert unzipped(bytes(broken))[1] == TEXT, at


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=2, max_size=12))
def test_several_changed_bytes_never_do_more_than_reject(changes: list[tuple[int, int]]) -> None:
    broken = bytearray(SOUND)
    for at, value in changes:
        broken[at] = value
    with suppress(Rejected):
        data = unzipped(bytes(broken))[1]
        assert zlib.crc32(data) == int.from_bytes(broken[SOUND.index(b"PK\x01\x02") + 16 :][:4], "little")


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_any_bytes_are_an_archive_or_rejected(data: bytes) -> None:
    with suppress(Rejected):
        unzipped(b"PK\x03\x04" + data + b"PK\x05\x06" + data[:30])


@pytest.mark.parametrize("name", ["[Content_Types].xml", "mimetype", "META-INF/MANIFEST.MF"])
def test_document_in_a_zip_container_is_told_from_an_archive(name: str) -> None:
    assert is_document(open_zip(File(zipped({name: b"x", "a": b"y"}))))
    assert not is_document(open_zip(File(zipped({"in/" + name: b"x"}))))
