"""Which keys and names are safe to make, and which names found in an archive are safe to believe."""

from __future__ import annotations

import re

from wharfinger.errors import Rejected

PART = 255
"""Bytes of UTF-8 that one part of a key may have; file systems end there."""

KEY = 1024
"""Bytes of UTF-8 that a whole key may have; S3 ends there."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SUSPECT = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]|^/|//|/$|(?:^|/)\.\.?(?:/|$)")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)


def fault(key: str) -> str:
    """What is wrong with `key` as a name to make, as the end of a sentence; "" where nothing is."""
    if not key:
        return "is empty"
    if _SUSPECT.search(key):
        return _suspicion(key)
    if len(key) * 4 > PART and (length := _longest(key)) > PART:
        return f"has a part of {length} bytes; at most {PART} are possible"
    if len(key) * 4 > KEY and len(key.encode()) > KEY:
        return f"is {len(key.encode())} bytes long; at most {KEY} are possible"
    return ""


def member_fault(name: str) -> str:
    """Like `fault`, for a name in an archive that somebody else made: it must be safe on every system that may see it."""
    return fault(name) or next((why for part in name.split("/") if (why := _foreign(part))), "")


def safe_key(key: str) -> str:
    """`key`, if it is safe; else raises Rejected (NAME_UNSAFE)."""
    if why := fault(key):
        raise Rejected(
            f"the name {shown(key)} {why}",
            code="NAME_UNSAFE",
            fix="change the template in the pipeline, or ask the sender for another name",
        )
    return key


def safe_name(name: str) -> str:
    """`name`, if it is safe and has no folder; else raises Rejected (NAME_UNSAFE)."""
    if "/" in name:
        raise Rejected(
            f"the name {shown(name)} has a folder in it", code="NAME_UNSAFE", fix="use variables without folders"
        )
    return safe_key(name)


def shown(name: str) -> str:
    """`name` for a message: quoted, escaped and cut."""
    return ascii(name if len(name) <= 120 else name[:117] + "...")


def _suspicion(key: str) -> str:
    parts = key.split("/")
    if key.startswith("/"):
        return "is absolute"
    if ".." in parts or "." in parts:
        return "has a part '.' or '..'"
    if "" in parts:
        return "has an empty part"
    if "\\" in key:
        return "has a backslash"
    return "has control characters" if _CONTROL.search(key) else "is not valid Unicode"


def _longest(key: str) -> int:
    return max(len(part.encode()) for part in key.split("/"))


def _foreign(part: str) -> str:
    if ":" in part:
        return "has a colon"
    if part.endswith((".", " ")):
        return "has a part that ends in a dot or a space"
    return "is a name that Windows reserves" if _RESERVED.fullmatch(part) else ""
