"""
A TCP connection's way that a test can cut: what is under way breaks off, and nobody gets through until it is mended. Or it falls silent:
connections stay and are made, and nothing passes until they break.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_PIECE = 1 << 16


class Wire:
    """Passes on what comes to `port` of 127.0.0.1 to another port there. A context."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._bound = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._bound.getsockname()[1])
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = False
        self._passes = threading.Event()
        self._passes.set()
        threading.Thread(target=self._accept, name="wire", daemon=True).start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._bound.close()

    def silence(self) -> None:
        """Pass nothing on, until it is cut; neither end is told."""
        self._passes.clear()

    def cut(self) -> None:
        """Break off all connections, and every new one; what they had on its way is gone."""
        with self._lock:
            self._is_cut = True
            for end in self._ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._passes.set()

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                here, _ = self._bound.accept()
                threading.Thread(target=self._join, args=(here,), daemon=True).start()

    def _join(self, here: socket.socket) -> None:
        with here, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as there:
            ends = {here, there}
            for end in ends:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._is_cut:
                    return
                self._ends |= ends
            back = threading.Thread(target=self._pass_on, args=(there, here), daemon=True)
            back.start()
            self._pass_on(here, there)
            back.join()
            with self._lock:
                self._ends -= ends

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        """Until one of them ends, which ends both, as soon as anything passes."""
        with suppress(OSError):
            while data := source.recv(_PIECE):
                self._passes.wait()
                target.sendall(data)
        self._passes.wait()
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
