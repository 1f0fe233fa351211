"""Whether a file may come in under a key: what the server keeps for itself, and what is there already."""

from __future__ import annotations

from collections.abc import Collection

from wharfinger.errors import NameRefused
from wharfinger.ledger import Accounts, Database
from wharfinger.names import shown

RECEIPTS = "receipts"
"""The directory of every home that the server itself fills; see sftp.receipts."""


def is_receipt(key: str, home: str) -> bool:
    """Whether `key` lies below the receipts of this home."""
    return key.startswith(f"{home}/{RECEIPTS}/")


def homes(accounts: Accounts) -> frozenset[str]:
    """The keys of all homes."""
    return frozenset(user.home.strip("/") for user in accounts.users())


def refuse_receipt(key: str, homes: Collection[str], called: str) -> None:
    """
    Raises NameRefused where `key` is, or lies below, the receipts of one of these homes: they would hide it. `called` is what it is
    for whoever sends it.
    """
    words = key.split("/")
    above = {"/".join(words[:n]) for n, word in enumerate(words) if word == RECEIPTS}
    if not above.isdisjoint(homes):
        raise NameRefused(
            f"{called} cannot be written: the server makes what is in {RECEIPTS}/",
            code="NAME_RESERVED",
            fix="put it into another folder",
        )


def refuse_clash(database: Database, key: str) -> None:
    """
    Raises NameRefused where `key` is a folder in the customers' tree or lies below a file (no name may be both), and where it
    belongs to the receipts of a home: they would hide it.
    """
    words = key.split("/")
    if RECEIPTS in words:
        refuse_receipt(key, homes(database.accounts) | {words[0]}, shown(key))
    *above, entry = database.namespace.look(["/".join(words[:n]) for n in range(1, len(words) + 1)])
    if entry is not None and entry.kind == "dir":
        raise NameRefused(f"{shown(key)} is a folder", code="NAME_TAKEN", fix="put it under another name")
    for each in above:
        if each is not None and each.kind != "dir":
            raise NameRefused(
                f"{shown(each.path)} is a file, not a folder", code="NAME_TAKEN", fix="name another folder"
            )
