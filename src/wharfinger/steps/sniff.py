"""
What kind of file is it? Decided by the first 8 KiB, never by the name.

Signatures: the formats' own specifications (RFC 1952 gzip, APPNOTE 4.3.7 zip, RFC 8878 zstd, ISO 32000 7.5.2 PDF, ...).
"""

from __future__ import annotations

import re

HEAD = 8192
"""How many bytes of a file's beginning are looked at."""

_SIGNATURES: tuple[tuple[bytes, int, str], ...] = (
    (b"\x1f\x8b\x08", 0, "application/gzip"),
    (b"BZh", 0, "application/x-bzip2"),
    (b"\xfd7zXZ\x00", 0, "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", 0, "application/zstd"),
    (b"7z\xbc\xaf\x27\x1c", 0, "application/x-7z-compressed"),
    (b"ustar", 257, "application/x-tar"),
    (b"PAR1", 0, "application/vnd.apache.parquet"),
    (b"Obj\x01", 0, "application/avro"),
    (b"ORC", 0, "application/vnd.apache.orc"),
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF8", 0, "image/gif"),
    (b"II*\x00", 0, "image/tiff"),
    (b"MM\x00*", 0, "image/tiff"),
    (b"ftyp", 4, "video/mp4"),
    (b"ID3", 0, "audio/mpeg"),
    (b"OggS", 0, "application/ogg"),
    (b"fLaC", 0, "audio/flac"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "application/x-ole-storage"),
    (b"age-encryption.org/v1\n", 0, "application/age"),
    (b"-----BEGIN PGP MESSAGE-----", 0, "application/pgp-encrypted"),
    (b"SQLite format 3\x00", 0, "application/vnd.sqlite3"),
    (b"\x7fELF", 0, "application/x-executable"),
)

_OFFICE: tuple[tuple[bytes, str], ...] = (
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
)

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_OBJECT_PER_LINE = re.compile(rb"\{[^\n]*\}[ \t\r\f\v]*+\n\s*+(\{|$)")  # possessive: white space is gone through once
_TABLE = re.compile(rb"([^\r\n]*)\r?\n([^\r\n]*)\r?\n")


def media_type(head: bytes, size: int) -> str:
    """The media type of a file of `size` bytes that begins with `head` (its first 8 KiB, or all of it)."""
    if not size:
        return "application/x-empty"
    for signature, offset, found in _SIGNATURES:
        if head.startswith(signature, offset):
            return found
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return next(
            (found for part, found in _OFFICE if part in head and b"[Content_Types].xml" in head), "application/zip"
        )
    if head.startswith(b"RIFF"):
        return {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}.get(
            head[8:12], "application/octet-stream"
        )
    if b"%PDF-" in head[:1024]:
        return "application/pdf"
    return _text(head, whole=size <= len(head))


def _text(head: bytes, *, whole: bool) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text/plain"
    head = head.removeprefix(b"\xef\xbb\xbf")
    if _CONTROL.search(head):
        return "application/octet-stream"
    body = head.lstrip()
    if body.startswith(b"<"):
        return "text/html" if body[:15].lower().startswith((b"<!doctype html", b"<html")) else "application/xml"
    if body.startswith(b"{") and _OBJECT_PER_LINE.match(body) and (not whole or body.count(b"\n{")):
        return "application/x-ndjson"
    if body.startswith((b"{", b"[")):
        return "application/json"
    return _delimited(head)


def _delimited(head: bytes) -> str:
    lines = _TABLE.match(head)
    for delimiter, found in (
        (b"\t", "text/tab-separated-values"),
        (b",", "text/csv"),
        (b";", "text/csv"),
        (b"|", "text/csv"),
    ):
        if lines and 0 < lines[1].count(delimiter) == lines[2].count(delimiter):
            return found
    return "text/plain"
