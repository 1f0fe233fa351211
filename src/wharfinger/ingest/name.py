"""Whether a file may come in under a key: what the key itself must be, and what is there already."""

from __future__ import annotations

from wharfinger.errors import NameRefused
from wharfinger.ledger import Namespace
from wharfinger.names import shown


def refuse_clash(namespace: Namespace, key: str) -> None:
    """Raises NameRefused where `key` is a folder in the customers' tree, or lies below a file: no name may be both."""
    words = key.split("/")
    *above, entry = namespace.look(["/".join(words[:n]) for n in range(1, len(words) + 1)])
    if entry is not None and entry.kind == "dir":
        raise NameRefused(f"{shown(key)} is a folder", code="NAME_TAKEN", fix="put it under another name")
    for each in above:
        if each is not None and each.kind != "dir":
            raise NameRefused(
                f"{shown(each.path)} is a file, not a folder", code="NAME_TAKEN", fix="name another folder"
            )
