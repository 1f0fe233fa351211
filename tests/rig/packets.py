"""SFTP packets as a client writes and reads them: an independent second opinion on the server's codec."""

from __future__ import annotations

import struct
from dataclasses import dataclass

OK, EOF, NO_SUCH_FILE, DENIED, FAILURE, BAD_MESSAGE, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED_REPLY = 101, 102, 103, 104, 105, 201
R, W, APPEND, CREAT, TRUNC, EXCL = 1, 2, 4, 8, 16, 32


def u32(number: int) -> bytes:
    return struct.pack(">I", number)


def u64(number: int) -> bytes:
    return struct.pack(">Q", number)


def string(text: str | bytes) -> bytes:
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return u32(len(data)) + data


def packet(kind: int, id: int, *fields: bytes) -> bytes:
    body = bytes([kind]) + u32(id) + b"".join(fields)
    return u32(len(body)) + body


def attrs(*, size: int | None = None, permissions: int | None = None, mtime: int | None = None) -> bytes:
    out = u32((size is not None) * 1 | (permissions is not None) * 4 | (mtime is not None) * 8)
    if size is not None:
        out += u64(size)
    if permissions is not None:
        out += u32(permissions)
    if mtime is not None:
        out += u32(mtime) + u32(mtime)
    return out


@dataclass(frozen=True)
class Reply:
    """One packet from the server."""

    kind: int
    id: int
    rest: bytes

    @property
    def code(self) -> int:
        """Of a status, else -1."""
        return int(struct.unpack_from(">I", self.rest)[0]) if self.kind == STATUS else -1

    @property
    def text(self) -> str:
        """The sentence of a status."""
        assert self.kind == STATUS
        size = struct.unpack_from(">I", self.rest, 4)[0]
        return self.rest[8 : 8 + size].decode()

    @property
    def blob(self) -> bytes:
        """The handle or the data."""
        assert self.kind in (HANDLE, DATA), self
        return self.rest[4:]

    @property
    def size(self) -> int:
        """The size among attributes."""
        assert self.kind == ATTRS, self
        return int(struct.unpack_from(">Q", self.rest, 4)[0])

    @property
    def mtime(self) -> int:
        """The time of last modification among attributes."""
        assert self.kind == ATTRS, self
        return int(struct.unpack_from(">I", self.rest, 28)[0])

    @property
    def names(self) -> list[str]:
        """The names of a directory's page."""
        assert self.kind == NAME, self
        names, at = [], 4
        for _ in range(struct.unpack_from(">I", self.rest)[0]):
            size = struct.unpack_from(">I", self.rest, at)[0]
            names.append(self.rest[at + 4 : at + 4 + size].decode())
            at += 4 + size
            at += 4 + int(struct.unpack_from(">I", self.rest, at)[0])
            at += 32 if struct.unpack_from(">I", self.rest, at)[0] else 4
        return names


def replies(stream: bytes) -> list[Reply]:
    """The packets in what the server wrote."""
    found, at = [], 0
    while at < len(stream):
        length, kind, id = struct.unpack_from(">IBI", stream, at)
        found.append(Reply(kind, id, stream[at + 9 : at + 4 + length]))
        at += 4 + length
    return found
