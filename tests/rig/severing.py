"""A proxy before a Postgres server that cuts a connection at its commit: on the way there, or on the way back."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Literal

Cut = Literal["", "question", "answer"]

SYNC, FLUSH = b"S", b"H"
"""
The messages that end a pipeline, or a part of it whose answers are wanted (postgresql.org/docs/current/protocol-message-formats.html);
a verb's only SYNC follows its COMMIT. One that reads before has a SYNC for each statement, and no FLUSH within
it; the FLUSH that may follow a SYNC wants nothing.
"""

PARTS = {b"P", b"B", b"D", b"E", b"C"}
"""Parse, bind, describe, execute, close: passed on together with the message that ends them."""


class Severing:
    """Passes everything on, until `cut` says which half of the next commit is to be lost. A context."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self.cut: Cut = ""
        self.is_closed = False  # to new connections
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Severing:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._open):
            _end(each)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.is_closed:
                    client.close()
                    continue
                server = socket.create_connection(self._server)
                self._open += [client, server]
                lost = threading.Event()
                threading.Thread(target=self._ask, args=(client, server, lost), daemon=True).start()
                threading.Thread(target=_answer, args=(client, server, lost), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError), client.makefile("rb") as messages:
            kind = before = part = b""  # the first message has no kind
            flushed = False
            while head := messages.read(4):
                part += kind + head + messages.read(int.from_bytes(head) - 4)
                flushed |= kind == FLUSH and before in PARTS
                if kind == SYNC and flushed and self.cut:
                    cut, self.cut = self.cut, ""
                    lost.set()
                    if cut == "question":
                        break
                flushed, before = flushed and kind != SYNC, kind
                if kind not in PARTS:
                    server.sendall(part)
                    part = b""
                kind = messages.read(1)
        if not lost.is_set():
            _end(client)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)  # it does what it was told, and finds the end then


def _answer(client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
    """Once the connection is lost nothing comes back; the client sees its end when the server has come to its own."""
    with suppress(OSError):
        while data := server.recv(65536):
            if not lost.is_set():
                client.sendall(data)
            elif _is_idle(data):
                break
    _end(client)
    _end(server)


def _is_idle(data: bytes) -> bool:
    """Whether the server is ready for the next transaction."""
    return b"Z\0\0\0\5I" in data


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
