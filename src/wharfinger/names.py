"""Which names a file may have, wherever it comes from and goes to: what is wrong with one, and when two are the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

PART = 255
"""Bytes of UTF-8 that one part of a name may have; file systems end there (NAME_MAX)."""

KEY = 1024
"""Bytes of UTF-8 that a whole key may have; S3 ends there."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
_WALKING = frozenset(("", ".", ".."))  # parts that lead somewhere else, or nowhere


def key_fault(key: str) -> str:
    """What is wrong with `key`, as the end of a sentence; "" where nothing is."""
    if fault := path_fault(key):
        return fault
    if len(key) * 4 > KEY and (size := len(key.encode())) > KEY:  # no character has more than four bytes
        return f"is {size} bytes long; at most {KEY} are possible"
    return ""


def path_fault(path: str) -> str:
    """Like `key_fault`, for a path below some directory: its parts are bounded, the whole is not."""
    parts = path.split("/")
    if _UNSAFE.search(path) or not _WALKING.isdisjoint(parts):
        return _suspicion(path, parts)
    if len(path) * 4 > PART and (size := max(map(len, map(str.encode, parts)))) > PART:
        return f"has a part of {size} bytes; at most {PART} are possible"
    return ""


def shown(name: str) -> str:
    """`name` for a message: quoted, escaped and cut."""
    return ascii(name if len(name) <= 120 else name[:117] + "...")


def readable(text: str) -> str:
    """`text` without what neither databases nor JSON can hold: lone surrogates, and NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def nfc(text: str) -> str:
    """The form in which names are compared (Unicode Standard Annex 15): some systems send them decomposed."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _suspicion(path: str, parts: Sequence[str]) -> str:
    if not path:
        return "is empty"
    if path.startswith("/"):
        return "is absolute"
    if ".." in parts or "." in parts:
        return "has a part '.' or '..'"
    if "" in parts:
        return "has an empty part"
    if "\\" in path:
        return "has a backslash"
    if control := _CONTROL.search(path):
        return f"has the control character U+{ord(control[0]):04X}"
    return "is not valid Unicode"
