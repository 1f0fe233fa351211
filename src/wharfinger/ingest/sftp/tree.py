"""
One user's view of the customers' tree: what a client may call a file, and how it looks to that client.

A path on the wire is a key in the ledger's namespace below the user's home; it never becomes a path of the operating system.
"""

from __future__ import annotations

import stat
import time

from wharfinger.errors import NameRefused
from wharfinger.ingest.name import RECEIPTS, is_receipt
from wharfinger.ingest.sftp import codec
from wharfinger.ledger import Entry, User
from wharfinger.names import key_fault, shown

STANDARD = ("errors", "inbound", "outbound", RECEIPTS)
"""The directories that every home has."""

_MODES = {("dir", False): 0o040755, ("dir", True): 0o040555, ("file", True): 0o100444}
_FILE = 0o100644


def resolve(path: str) -> str:
    """The absolute path that `path` means, from the root: `.` and `..` are walked, and nothing is above the root."""
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return "/" + "/".join(names)


class Tree:
    """What `user` sees: virtual paths on one side, keys of the namespace on the other."""

    def __init__(self, user: User) -> None:
        self.user = user
        self._home = user.home.strip("/")
        self._fixed = frozenset((self._home, *self.standard()))

    def standard(self) -> list[str]:
        """The keys of the home's standard directories."""
        return [f"{self._home}/{name}" for name in STANDARD]

    def key(self, path: str) -> str:
        """The key that `path` names, checked once, here. Raises NameRefused; nothing is rewritten."""
        key = "/".join([self._home, *[name for name in path.split("/") if name not in ("", ".")]])
        if why := key_fault(key):
            fix = "send it under another name: in UTF-8, with / between directories"
            raise NameRefused(f"the name {shown(self.path(key))} {why}", fix=fix)
        return key

    def find(self, path: str) -> str:
        """Like `key`, for what only looks: `..` is walked."""
        return self.key(resolve(path) if ".." in path else path)

    def place(self, path: str) -> str:
        """Like `key`, for what writes. Raises NameRefused below the receipts."""
        key = self.key(path)
        if is_receipt(key, self._home):
            why = f"{self.path(key)} cannot be written: the server makes what is in /{RECEIPTS}"
            raise NameRefused(why, code="NAME_RESERVED", fix="send it into another folder")
        return key

    def own(self, path: str) -> str:
        """Like `place`, for what moves or removes. Raises NameRefused for the home itself and its standard directories."""
        key = self.place(path)
        if key in self._fixed:
            raise NameRefused(f"{self.path(key)} is part of every home and stays")
        return key

    def path(self, key: str) -> str:
        """What the client calls `key`."""
        return key[len(self._home) :] or "/"

    def line(self, entry: Entry, now: float) -> codec.Name:
        """The entry as a line of a directory."""
        name = entry.path.rpartition("/")[2]
        return codec.Name(name, _long(entry, name, self.user, now), attributes(entry))


def attributes(entry: Entry) -> bytes:
    """The entry's attributes on the wire."""
    return codec.attributes(entry.size, _mode(entry), entry.mtime)


def _mode(entry: Entry) -> int:
    """st_mode of POSIX: the kind, and who may what."""
    return _MODES.get((entry.kind, entry.is_fixed), _FILE)


_HALF_A_YEAR = 180 * 86400  # s; older entries show the year in place of the time, as `ls -l` does


def _long(entry: Entry, name: str, user: User, now: float) -> str:
    mode, links = stat.filemode(_mode(entry)), 2 if entry.kind == "dir" else 1
    recent = abs(now - entry.mtime) < _HALF_A_YEAR
    at = time.gmtime(min(max(entry.mtime, 0), 0xFFFFFFFF))
    when = time.strftime("%b %d %H:%M" if recent else "%b %d  %Y", at)
    return f"{mode} {links:4d} {user.name:<8} {user.customer:<8} {entry.size:8d} {when} {name}"
