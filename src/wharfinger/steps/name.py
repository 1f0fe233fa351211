"""Which keys and names a step may make, and which names found in an archive are safe to believe."""

from __future__ import annotations

import re

from wharfinger.errors import Rejected
from wharfinger.names import key_fault, shown

_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\..*)?", re.IGNORECASE)


def member_fault(name: str) -> str:
    """What is wrong with a name in an archive that somebody else made: it must be safe on every system that may see it."""
    return key_fault(name) or next((why for part in name.split("/") if (why := _foreign(part))), "")


def safe_key(key: str) -> str:
    """`key`, if it is safe; else raises Rejected (NAME_UNSAFE)."""
    if why := key_fault(key):
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


def _foreign(part: str) -> str:
    if ":" in part:
        return "has a colon"
    if part.endswith((".", " ")):
        return "has a part that ends in a dot or a space"
    return "is a name that Windows reserves" if _RESERVED.fullmatch(part) else ""
