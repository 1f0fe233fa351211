"""Which keys may become real names in a directory. One that breaks a rule is refused with the reason, never rewritten."""

from __future__ import annotations

from wharfinger.errors import NameRefused
from wharfinger.names import path_fault, shown

OURS = ".wharf-"
"""How the names of our own temporary files begin."""


def parts(key: str) -> tuple[str, ...]:
    """The parts of a key that is safe as a relative path: folders, then the file's name. Raises NameRefused."""
    split = tuple(key.split("/"))
    why = path_fault(key)
    if not why and any(part.startswith(OURS) for part in split):
        why = f"has a part that begins with '{OURS}', as our temporary files do"
    if why:
        raise NameRefused(
            f"the name {shown(key)} {why}", fix="rename it by the pipeline's `rename` step, or at the sender"
        )
    return split
