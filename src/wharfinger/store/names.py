"""Which keys may become real names in a directory. One that breaks a rule is refused with the reason, never rewritten."""

from __future__ import annotations

import re

from wharfinger.errors import NameRefused

LONGEST = 255
"""Bytes of one part of a name (NAME_MAX of every common filesystem)."""

OURS = ".wharf-"
"""How the names of our own temporary files begin."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def parts(key: str) -> tuple[str, ...]:
    """The parts of a key that is safe as a relative path: folders, then the file's name. Raises NameRefused."""
    split = tuple(key.split("/"))
    if reason := next(filter(None, map(_wrong, split)), ""):
        raise NameRefused(
            f"{key!a} cannot be a file name: {reason}",
            fix="rename it by the pipeline's `rename` step, or at the sender",
        )
    return split


def _wrong(part: str) -> str:
    """What is wrong with this part of a name; empty if nothing is."""
    if part in ("", ".", ".."):
        return {"": "a part of it is empty", ".": "'.' is no name"}.get(part, "'..' leads out of the directory")
    if "\\" in part:
        return "it contains a backslash"
    if found := _CONTROL.search(part):
        return f"it contains the control character U+{ord(found[0]):04X}"
    if part.startswith(OURS):
        return f"names that begin with '{OURS}' are our temporary files"
    try:
        size = len(part.encode())
    except UnicodeEncodeError:
        return "it is not valid UTF-8"
    return f"a part of it has {size} bytes, more than {LONGEST}" if size > LONGEST else ""
