"""
SFTP version 3 on the wire: bytes in, requests out; replies out as bytes. No I/O, and no state but a half packet.

draft-ietf-secsh-filexfer-02; for the extensions, section 3 of PROTOCOL in openssh-portable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from struct import Struct, error
from typing import Any, NamedTuple, TypeAlias

VERSION = 3

MAX_PACKET = 256 * 1024
"""Bytes in the largest packet, its length word not counted; OpenSSH's limit too. A longer one ends the session."""

MAX_DATA = MAX_PACKET - 1024
"""Bytes that one READ or WRITE carries at most: what `limits@openssh.com` tells clients."""

EXTENSIONS: Mapping[str, str] = {
    "posix-rename@openssh.com": "1",
    "statvfs@openssh.com": "2",
    "fstatvfs@openssh.com": "2",
    "fsync@openssh.com": "1",
    "limits@openssh.com": "1",
}
"""What the VERSION reply advertises, each with its own version."""


class Code(IntEnum):
    """Status codes (draft, section 7)."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    OP_UNSUPPORTED = 8


READ, WRITE, APPEND, CREAT, TRUNC, EXCL = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
"""How a file is to be opened (draft, section 6.3)."""

WRITING = WRITE | APPEND | CREAT | TRUNC
"""Any of these asks for more than reading."""


class ProtocolError(Exception):
    """What came is no SFTP; nothing after it can be understood."""


class Attrs(NamedTuple):
    """What a client says of a file (draft, section 5); None where it says nothing. Owners and extensions are skipped."""

    size: int | None = None  # bytes
    permissions: int | None = None
    atime: int | None = None  # epoch s
    mtime: int | None = None  # epoch s


class Name(NamedTuple):
    """One line of a directory, for a reply."""

    name: str
    long: str  # as `ls -l` prints it
    attrs: bytes  # from `attributes`


class Init(NamedTuple):  # noqa: D101
    id: int  # the client's version stands where others have their id


class Open(NamedTuple):  # noqa: D101
    id: int
    path: str
    flags: int
    attrs: Attrs


class Close(NamedTuple):  # noqa: D101
    id: int
    handle: bytes


class Read(NamedTuple):  # noqa: D101
    id: int
    handle: bytes
    offset: int
    length: int


class Write(NamedTuple):  # noqa: D101
    id: int
    handle: bytes
    offset: int
    data: memoryview


class Fstat(NamedTuple):  # noqa: D101
    id: int
    handle: bytes


class Setstat(NamedTuple):  # noqa: D101
    id: int
    path: str
    attrs: Attrs


class Fsetstat(NamedTuple):  # noqa: D101
    id: int
    handle: bytes
    attrs: Attrs


class Opendir(NamedTuple):  # noqa: D101
    id: int
    path: str


class Readdir(NamedTuple):  # noqa: D101
    id: int
    handle: bytes


class Remove(NamedTuple):  # noqa: D101
    id: int
    path: str


class Mkdir(NamedTuple):  # noqa: D101
    id: int
    path: str
    attrs: Attrs


class Rmdir(NamedTuple):  # noqa: D101
    id: int
    path: str


class Realpath(NamedTuple):  # noqa: D101
    id: int
    path: str


class Stat(NamedTuple):
    """STAT and LSTAT: there are no links."""

    id: int
    path: str


class Rename(NamedTuple):  # noqa: D101
    id: int
    old: str
    new: str


class Link(NamedTuple):
    """READLINK and SYMLINK; both are refused, whatever they name."""

    id: int


class PosixRename(NamedTuple):  # noqa: D101
    id: int
    old: str
    new: str


class Statvfs(NamedTuple):
    """By path or by handle: there is one filesystem."""

    id: int


class Fsync(NamedTuple):  # noqa: D101
    id: int
    handle: bytes


class Limits(NamedTuple):  # noqa: D101
    id: int


class Unsupported(NamedTuple):
    """A request of a kind that is not served."""

    id: int
    what: str


class Malformed(NamedTuple):
    """A request whose fields end before they should."""

    id: int


Request: TypeAlias = (
    Init | Open | Close | Read | Write | Stat | Fstat | Setstat | Fsetstat | Opendir | Readdir | Remove | Mkdir | Rmdir
    | Realpath | Rename | Link | PosixRename | Statvfs | Fsync | Limits | Unsupported | Malformed
)  # fmt: skip

_U32, _U64 = Struct(">I"), Struct(">Q")


def _u32(body: memoryview, at: int) -> tuple[int, int]:
    return _U32.unpack_from(body, at)[0], at + 4


def _u64(body: memoryview, at: int) -> tuple[int, int]:
    return _U64.unpack_from(body, at)[0], at + 8


def _blob(body: memoryview, at: int) -> tuple[memoryview, int]:
    start = at + 4
    end: int = start + _U32.unpack_from(body, at)[0]
    if end > len(body):
        raise error("a string is longer than its packet")
    return body[start:end], end


def _string(body: memoryview, at: int) -> tuple[bytes, int]:
    blob, at = _blob(body, at)
    return bytes(blob), at


def _text(body: memoryview, at: int) -> tuple[str, int]:
    """Bytes that are no UTF-8 come as lone surrogates, so that the tree can refuse them by name."""
    blob, at = _blob(body, at)
    return str(blob, "utf-8", "surrogateescape"), at


_SIZE, _OWNER, _PERMISSIONS, _TIMES = 0x01, 0x02, 0x04, 0x08  # draft, section 5


def _attrs(body: memoryview, at: int) -> tuple[Attrs, int]:
    size = permissions = atime = mtime = None
    flags, at = _u32(body, at)
    if flags & _SIZE:
        size, at = _u64(body, at)
    if flags & _OWNER:
        at += 8
    if flags & _PERMISSIONS:
        permissions, at = _u32(body, at)
    if flags & _TIMES:
        atime, at = _u32(body, at)
        mtime, at = _u32(body, at)
    return Attrs(size, permissions, atime, mtime), at  # extended pairs come last: skipped, like any trailing bytes


_Reader: TypeAlias = Callable[[memoryview, int], tuple[Any, int]]
_Form: TypeAlias = tuple[Callable[..., Request], tuple[_Reader, ...]]

_FORMS: Mapping[int, _Form] = {
    1: (Init, ()),
    3: (Open, (_text, _u32, _attrs)),
    4: (Close, (_string,)),
    5: (Read, (_string, _u64, _u32)),
    6: (Write, (_string, _u64, _blob)),
    7: (Stat, (_text,)),
    8: (Fstat, (_string,)),
    9: (Setstat, (_text, _attrs)),
    10: (Fsetstat, (_string, _attrs)),
    11: (Opendir, (_text,)),
    12: (Readdir, (_string,)),
    13: (Remove, (_text,)),
    14: (Mkdir, (_text, _attrs)),
    15: (Rmdir, (_text,)),
    16: (Realpath, (_text,)),
    17: (Stat, (_text,)),
    18: (Rename, (_text, _text)),
    19: (Link, ()),
    20: (Link, ()),
}
"""What each packet type is made of, after its id (draft, section 6)."""

_EXTENDED_TYPE = 200

_EXTENDED_FORMS: Mapping[str, _Form] = {
    "posix-rename@openssh.com": (PosixRename, (_text, _text)),
    "statvfs@openssh.com": (Statvfs, ()),
    "fstatvfs@openssh.com": (Statvfs, ()),
    "fsync@openssh.com": (Fsync, (_string,)),
    "limits@openssh.com": (Limits, ()),
}


def parse(body: memoryview) -> Request:
    """
    The request in one packet, its length word taken off. Bytes after the last field are ignored: rclone and every Go client
    on pkg/sftp before 1.13.6 pad their WRITEs. Raises ProtocolError where not even an id is there to answer to.
    """
    if len(body) < 5:
        raise ProtocolError(f"a packet of {len(body)} bytes, where the shortest has 5")
    kind, id, at = body[0], _U32.unpack_from(body, 1)[0], 5
    try:
        if kind == _EXTENDED_TYPE:
            name, at = _text(body, at)
            form = _EXTENDED_FORMS.get(name)
        else:
            name, form = f"packet type {kind}", _FORMS.get(kind)
        if form is None:
            return Unsupported(id, name)
        made, readers = form
        fields = [id]
        for read in readers:
            field, at = read(body, at)
            fields.append(field)
    except error:
        return Malformed(id)
    return made(*fields)


class Decoder:
    """Cuts a stream into requests; holds at most one packet that is not whole."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._have = 0  # bytes in chunks
        self._need = 4  # bytes until there is more to understand

    def feed(self, data: bytes) -> list[Request]:
        """The requests that are whole now. Raises ProtocolError; the stream is then lost."""
        self._chunks.append(data)
        self._have += len(data)
        if self._have < self._need:
            return []
        stream = memoryview(data if len(self._chunks) == 1 else b"".join(self._chunks))
        requests = []
        at, size = 0, self._have
        while size - at >= 4:
            length = _U32.unpack_from(stream, at)[0]
            if length > MAX_PACKET:
                raise ProtocolError(f"a packet of {length} bytes, where {MAX_PACKET} is the most")
            self._need = 4 + length
            if size - at < self._need:
                break
            requests.append(parse(stream[at + 4 : at + self._need]))
            at += self._need
            self._need = 4
        self._chunks = [bytes(stream[at:])] if at < size else []
        self._have = size - at
        return requests


_VERSION_TYPE, _STATUS, _HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED_REPLY = 2, 101, 102, 103, 104, 105, 201

_HEAD = Struct(">IBI")  # length, type, id
_HEAD_WORD = Struct(">IBII")  # and one word more: a code, a length, a count
_ATTRIBUTES = Struct(">IQIIIII")


def _packed(text: bytes) -> bytes:
    return _U32.pack(len(text)) + text


def version(extensions: Mapping[str, str] = EXTENSIONS) -> bytes:
    """The answer to INIT."""
    pairs = b"".join(_packed(name.encode()) + _packed(value.encode()) for name, value in extensions.items())
    return _HEAD.pack(5 + len(pairs), _VERSION_TYPE, VERSION) + pairs


_NO_TEXT = _packed(b"") + _packed(b"")


def status(id: int, code: Code, text: str = "") -> bytes:
    """How a request ended; `text` says why, for people (lftp and rclone show it)."""
    tail = _packed(text.encode("utf-8", "replace")) + _packed(b"en") if text else _NO_TEXT
    return _HEAD_WORD.pack(9 + len(tail), _STATUS, id, code) + tail


def handle(id: int, handle: bytes) -> bytes:
    """The handle that an OPEN or OPENDIR made."""
    return _HEAD_WORD.pack(9 + len(handle), _HANDLE, id, len(handle)) + handle


def data(id: int, data: bytes) -> bytes:
    """What a READ read."""
    return _HEAD_WORD.pack(9 + len(data), _DATA, id, len(data)) + data


NO_ATTRIBUTES = _U32.pack(0)
"""Attributes that say nothing."""


def attributes(size: int, permissions: int, mtime: float) -> bytes:
    """The attributes of a file or directory, for `attrs` and `Name`."""
    at = min(max(int(mtime), 0), 0xFFFFFFFF)
    return _ATTRIBUTES.pack(_SIZE | _OWNER | _PERMISSIONS | _TIMES, size, 0, 0, permissions, at, at)


def attrs(id: int, attributes: bytes) -> bytes:
    """The answer to STAT, LSTAT and FSTAT."""
    return _HEAD.pack(5 + len(attributes), _ATTRS, id) + attributes


def names(id: int, names: Iterable[Name]) -> bytes:
    """A page of a directory, or the one name of a REALPATH."""
    lines = [
        _packed(n.name.encode("utf-8", "surrogateescape"))
        + _packed(n.long.encode("utf-8", "surrogateescape"))
        + n.attrs
        for n in names
    ]
    tail = b"".join(lines)
    return _HEAD_WORD.pack(9 + len(tail), _NAME, id, len(lines)) + tail


def extended(id: int, *words: int) -> bytes:
    """The answer to an extended request that asks for figures; each is an unsigned 64-bit word."""
    return _HEAD.pack(5 + 8 * len(words), _EXTENDED_REPLY, id) + Struct(f">{len(words)}Q").pack(*words)
