"""A proxy between a client and an HTTP server, which remembers what passed and does harm where it is told to."""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Harm = Literal["", "busy", "denied", "locked", "cut", "drop", "error"]
"""
What becomes of a request: "" nothing; "busy" it is answered 503 SlowDown, "denied" 403; "locked" each object that it would delete
stays; "drop" the connection ends before the server hears of it; "cut" it ends when the server has done all of it; "error" the server
does nothing and answers 200 with an error in it.
"""

BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
DENIED = b"<Error><Code>InvalidToken</Code><Token-0>%s</Token-0></Error>"
LOCKED = b"<Error><Key>%s</Key><Code>AccessDenied</Code><Message>Object is locked</Message></Error>"
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    method: str
    path: str  # with its query
    headers: Mapping[str, str]  # names in small letters
    body: bytes

    @property
    def word(self) -> str:
        """What it is about: the method, and the folder in the store ("PUT objects")."""
        rest = urlsplit(self.path).path.split("/custody/", 1)[-1]
        return f"{self.method} {rest.strip('/').split('/')[0]}"


@dataclass
class Proxy:
    """`harm` is asked for each request; it may be changed at any time."""

    endpoint: str = ""
    harm: Callable[[Asked], Harm] = lambda _: ""
    asked: list[Asked] = field(default_factory=list)

    def words(self) -> list[str]:
        return [each.word for each in self.asked]

    def once(self, harm: Harm, word: str, *, times: int = 1) -> None:
        """Do this harm to the next requests of this kind."""
        left = [harm] * times

        def act(asked: Asked) -> Harm:
            return left.pop() if left and asked.word == word else ""

        self.harm = act


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """A proxy to the server at this URL."""
    proxy = Proxy()
    where = urlsplit(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline or not self.parse_request():
                self.close_connection = True
                return
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body)
            proxy.asked.append(asked)
            self._act(asked, proxy.harm(asked))

        def _act(self, asked: Asked, harm: Harm) -> None:
            if harm == "drop":
                self._hang_up()
            elif harm in ("busy", "error"):
                self._answer(503 if harm == "busy" else 200, {}, BUSY)
            elif harm == "denied":  # as S3 does: its words repeat the token
                self._answer(403, {}, DENIED % asked.headers["x-amz-security-token"].encode())
            elif harm == "locked":
                errors = (LOCKED % key for key in re.findall(b"<Key>(.*?)</Key>", asked.body))
                self._answer(200, {}, b"<DeleteResult>" + b"".join(errors) + b"</DeleteResult>")
            else:
                status, headers, data = self._pass_on(asked)
                if harm == "cut":
                    self._hang_up()
                else:
                    self._answer(status, headers, data)

        def _pass_on(self, asked: Asked) -> tuple[int, Mapping[str, str], bytes]:
            line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
            try:
                line.request(asked.method, asked.path, asked.body or None, {**asked.headers, "connection": "close"})
                answer = line.getresponse()
                return answer.status, dict(answer.headers.items()), answer.read()
            finally:
                line.close()

        def _answer(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
            self.send_response_only(status)
            passed = {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
            if self.command != "HEAD":
                passed = {name: value for name, value in passed.items() if name.lower() != "content-length"}
                passed["Content-Length"] = str(len(data))
            for name, value in passed.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def _hang_up(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            super().process_request(request, client_address)  # type: ignore[arg-type]

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away is no news."""

    with Server(("127.0.0.1", 0), Handler) as server:
        proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
