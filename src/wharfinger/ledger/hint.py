"""Wake-up hints between the processes of one machine: Unix datagrams. A lost or doubled one is harmless; the ledger decides."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

LONGEST_PATH = 103
"""Bytes of a socket's path: sun_path has 104 on macOS and the BSDs, 108 on Linux, with the final NUL (unix(4), unix(7))."""

_SUFFIX = ".hint"
_NAME = 16  # bytes: 11 hexadecimal digits and the suffix


class DatagramHint:
    """
    Every process that waits has its socket in `directory` (in the directory for temporary files, if the path is too long for
    a socket); a sender tells them all. Nothing here raises: who cannot be reached looks into the ledger before long anyway.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = _short(Path(directory).absolute())
        self._sender = _datagrams()
        self._sender.setblocking(False)
        self._receiver: socket.socket | None = None

    def send(self, ids: Sequence[str]) -> None:
        """Say that these runs are ready. Never waits: a receiver whose buffer is full has been told."""
        if not ids:
            return
        with contextlib.suppress(OSError):
            for entry in os.scandir(self._directory):
                if entry.name.endswith(_SUFFIX):
                    self._tell(entry.path)

    def receive(self, timeout: float) -> bool:
        """Wait for a hint, at most `timeout` seconds; those that have come count as one. Hears from the first call on."""
        try:
            if self._receiver is None:
                self._receiver = _bind(self._directory)
        except OSError:
            time.sleep(timeout)
            return False
        return _hear(self._receiver, timeout)

    def close(self) -> None:
        """Listen no more."""
        self._sender.close()
        if self._receiver:
            with contextlib.suppress(OSError):
                Path(self._receiver.getsockname()).unlink()
            self._receiver.close()

    def _tell(self, path: str) -> None:
        try:
            self._sender.sendto(b"!", path)
        except ConnectionRefusedError:  # its process is dead
            with contextlib.suppress(OSError):
                Path(path).unlink()
        except OSError:
            pass


def _hear(receiver: socket.socket, timeout: float) -> bool:
    """Whether anything came in time; what else has come by then is taken with it."""
    receiver.settimeout(timeout)
    try:
        receiver.recv(1)
    except OSError:
        return False
    receiver.setblocking(False)
    with contextlib.suppress(OSError):  # nothing is left
        while receiver.recv(1):
            pass
    return True


def _bind(directory: Path) -> socket.socket:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.geteuid():
        raise PermissionError(directory)
    receiver = _datagrams()
    receiver.bind(f"{directory}/{uuid.uuid4().hex[: _NAME - len(_SUFFIX)]}{_SUFFIX}")
    return receiver


def _datagrams() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def _short(directory: Path) -> Path:
    if len(os.fsencode(directory)) + 1 + _NAME <= LONGEST_PATH:
        return directory
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"wharf-{os.geteuid()}-{digest}")
