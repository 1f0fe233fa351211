from __future__ import annotations

import gzip
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rig.archives import zipped
from wharfinger.steps.sniff import HEAD, media_type

TYPES = {
    "nothing": (b"", "application/x-empty"),
    "gzip": (gzip.compress(b"x"), "application/gzip"),
    "zip": (zipped({"a.csv": b"x"}), "application/zip"),
    "empty zip": (zipped({}), "application/zip"),
    "workbook": (
        zipped({"[Content_Types].xml": b"", "xl/workbook.xml": b""}),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    "tar": (bytes(257) + b"ustar\x0000", "application/x-tar"),
    "parquet": (b"PAR1\x15\x04", "application/vnd.apache.parquet"),
    "wave": (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
    "riff of another kind": (b"RIFF\x24\0\0\0XXXX", "application/octet-stream"),
    "pdf after other bytes": (b"\0\x01 junk\n%PDF-1.7", "application/pdf"),
    "comma separated": (b"id,amount\n1,2\n", "text/csv"),
    "semicolon separated": (b"id;amount\r\n1;2\r\n", "text/csv"),
    "tab separated": (b"id\tamount\n1\t2\n", "text/tab-separated-values"),
    "with a byte order mark": (b"\xef\xbb\xbfid,amount\n1,2\n", "text/csv"),
    "utf-16": (b"\xff\xfei\0d\0", "text/plain"),
    "object": (b'{"a": 1}\n', "application/json"),
    "list": (b" [1, 2]", "application/json"),
    "object per line": (b'{"a": 1}\n{"a": 2}\n', "application/x-ndjson"),
    "xml": (b"<?xml version='1.0'?><a/>", "application/xml"),
    "html": (b"<!DOCTYPE html><p>x", "text/html"),
    "plain text": (b"hello\nworld, again\n", "text/plain"),
    "bytes": (b"\x00\x01\x02", "application/octet-stream"),
}


@pytest.mark.parametrize("case", TYPES)
def test_type_is_found_by_content(case: str) -> None:
    data, expected = TYPES[case]
    assert media_type(data[:HEAD], len(data)) == expected


@pytest.mark.parametrize(
    "head", [b"{}" + b"\n" * (HEAD - 3) + b"x", b"{" + b"} " * (HEAD // 2 - 1), b"{" + b"}\n " * 2000]
)
def test_white_space_is_gone_through_once(head: bytes) -> None:
    assert media_type(head, 2 * HEAD) in ("application/json", "application/x-ndjson")
    began = time.process_time()
    for _ in range(20):
        media_type(head, 2 * HEAD)
    assert time.process_time() - began < 1, "one look takes 0.1 ms, a square of it half a second"


@given(st.binary(max_size=600))
def test_any_bytes_have_a_type(data: bytes) -> None:
    assert media_type(data, len(data)).count("/") == 1
