"""
The plain way to a durable SFTP server: asyncssh's own SFTPServer with a temporary file, SHA-256, fsync and rename in close().

A program of its own: `plain.py ROOT HOST_KEY AUTHORIZED_KEYS` prints its port and serves until it is terminated. It does not sync
the directory after the rename, which is in its favour.
"""

from __future__ import annotations

import hashlib
import os
import sys
from itertools import count
from typing import Any

import asyncssh
import uvloop


class Upload:
    """A file being written under a temporary name."""

    def __init__(self, temporary: bytes, final: bytes) -> None:
        self.temporary, self.final = temporary, final
        self.file = open(temporary, "xb", buffering=0)  # noqa: SIM115
        self.hash, self.end = hashlib.sha256(), 0


class Durable(asyncssh.SFTPServer):
    """Writes are kept, hashed, synced and only then given their name."""

    numbers = count()

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        if not pflags & asyncssh.FXF_WRITE:
            return super().open(path, pflags, attrs)
        final = self.map_path(path)
        return Upload(b"%s.%d.tmp" % (final, next(self.numbers)), final)

    def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        if offset != file_obj.end:
            raise asyncssh.SFTPOpUnsupported("in order, please")
        file_obj.hash.update(data)
        file_obj.end += len(data)
        return int(file_obj.file.write(data))

    def close(self, file_obj: Any) -> None:
        if not isinstance(file_obj, Upload):
            super().close(file_obj)
            return
        os.fsync(file_obj.file.fileno())
        file_obj.file.close()
        file_obj.hash.hexdigest()
        os.rename(file_obj.temporary, file_obj.final)


async def serve(root: str, host_key: str, authorized_keys: str) -> None:
    """Serve `root` on a free loopback port until the process ends."""
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=authorized_keys,
        sftp_factory=lambda chan: Durable(chan, chroot=root.encode()),
        encryption_algs=["aes128-gcm@openssh.com"],
    )
    print(server.get_port(), flush=True)
    await server.wait_closed()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
