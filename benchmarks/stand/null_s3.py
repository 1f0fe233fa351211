"""
A service that answers every put at once and keeps nothing: what is left is the client's own time. GET answers how many objects it
was sent.
"""

from __future__ import annotations

import asyncio
import re
import socket
from typing import cast

ANSWER = b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: 0\r\n\r\n'
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Null(asyncio.Protocol):
    """HTTP/1.1, with bodies of a known length."""

    objects = 0
    """Put below objects/, by all connections."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport, self._data = cast(asyncio.WriteTransport, transport), bytearray()

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self._data, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._data) < whole:
                return
            self._transport.write(self._answer(bytes(self._data[: self._data.index(b"\r")])))
            del self._data[:whole]

    def _answer(self, request: bytes) -> bytes:
        if request.startswith(b"GET"):
            said = b"%d" % Null.objects
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said)
        if request.startswith(b"HEAD"):
            return MISSING
        Null.objects += request.startswith(b"PUT") and b"/objects/" in request
        return ANSWER


async def serve() -> None:
    """Until killed; the first line on stdout is the port."""
    server = await asyncio.get_running_loop().create_server(Null, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve())
