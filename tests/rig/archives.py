"""Archives for tests: sound ones, and such as nobody sends with good intent."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo


def zipped(members: Mapping[str, bytes], method: int = ZIP_DEFLATED) -> bytes:
    """An ordinary archive."""
    made = io.BytesIO()
    with ZipFile(made, "w", method) as archive:
        for name, data in members.items():
            info = ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, data)
    return made.getvalue()


def linked(name: str, target: str) -> bytes:
    """An archive with one symbolic link."""
    info = ZipInfo(name)
    info.create_system, info.external_attr = 3, 0o120777 << 16
    made = io.BytesIO()
    with ZipFile(made, "w") as archive:
        archive.writestr(info, target)
    return made.getvalue()


def entry(
    name: bytes,
    data: bytes,
    *,
    method: int = 8,
    flags: int = 0,
    size: int | None = None,
    crc: int | None = None,
    local_name: bytes | None = None,
    offset: int = 0,
    packed_size: int | None = None,
    creator: int = 0,
) -> tuple[bytes, bytes]:
    """A local header with its data, and the line of the directory (APPNOTE 4.3.7 and 4.3.12); either may lie as asked."""
    packed = raw_deflate(data) if method == 8 else data
    size = len(data) if size is None else size
    crc = zlib.crc32(data) if crc is None else crc
    packed_size = len(packed) if packed_size is None else packed_size
    common = struct.pack("<HHHHHIII", 20, flags, method, 0, 0x21, crc, packed_size, size)
    inside = name if local_name is None else local_name
    local = b"PK\x03\x04" + common + struct.pack("<HH", len(inside), 0) + inside + packed
    tail = struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, offset)
    return local, b"PK\x01\x02" + struct.pack("<BB", 20, creator) + common + tail + name


def archive(local: bytes, directory: list[bytes], *, comment: bytes = b"") -> bytes:
    """Local parts, directory and end record (APPNOTE 4.3.16) put together."""
    lines = b"".join(directory)
    end = struct.pack("<HHHHIIH", 0, 0, len(directory), len(directory), len(lines), len(local), len(comment))
    return local + lines + b"PK\x05\x06" + end + comment


def overlapping(times: int, size: int) -> bytes:
    """A bomb whose `times` entries share one kernel of `size` bytes."""
    data = bytes(size)
    local, first = entry(b"a", data)
    told = {"size": size, "crc": zlib.crc32(data), "packed_size": len(raw_deflate(data))}
    return archive(local, [first, *(entry(b"%d" % n, b"", **told)[1] for n in range(1, times))])


def raw_deflate(data: bytes) -> bytes:
    """RFC 1951, without header or checksum."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()
