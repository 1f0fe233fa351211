"""The small HTTP server that Prometheus asks: `GET /metrics`, and nothing else."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from wharfinger.errors import WharfingerError

PATH = "/metrics"

PATIENCE_S = 10.0
"""For a client to say what it wants."""

MOST_WAITING = 4
"""More scrapes than that at a time are refused: whoever asked first may be gone by the time that it is answered."""

_log = logging.getLogger(__name__)

Answer = Callable[[str], tuple[bytes, str]]
"""From the Accept header to a body and its content type."""


class _Crowded(Exception):
    """So many scrapes wait that another one would be told late what it asks now."""


class Endpoint:
    """Answers on `bound` until `stop`. The answers are made one at a time, all in one thread: a client that is slow holds up nobody."""

    def __init__(self, bound: socket.socket, answer: Answer) -> None:
        self._scribe = ThreadPoolExecutor(1, thread_name_prefix="scrape")
        self._answer, self._room = answer, threading.BoundedSemaphore(MOST_WAITING)
        self._server = _Server(bound, self._in_turn)

    def serve(self) -> None:
        """Answer until `stop`."""
        self._server.serve_forever(poll_interval=0.2)
        self._server.server_close()
        self._scribe.shutdown(cancel_futures=True)

    def _in_turn(self, accept: str) -> tuple[bytes, str]:
        if not self._room.acquire(blocking=False):
            raise _Crowded
        try:
            return self._scribe.submit(self._answer, accept).result()
        finally:
            self._room.release()

    def stop(self) -> None:
        """End `serve` soon. May be called by a signal handler."""
        threading.Thread(target=self._server.shutdown, daemon=True).start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, bound: socket.socket, answer: Answer) -> None:
        super().__init__(bound.getsockname()[:2], _Request, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.answer = answer

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        _log.debug("a client of the metrics was cut off", exc_info=True)


class _Request(BaseHTTPRequestHandler):
    timeout = PATIENCE_S
    disable_nagle_algorithm = True
    server_version, sys_version = "wharfinger", ""
    server: _Server

    def do_GET(self) -> None:
        """Answer the figures, 404 for any other path, 503 where they cannot be read."""
        if self.path.partition("?")[0] != PATH:
            self._send(HTTPStatus.NOT_FOUND, f"the metrics are at {PATH}\n".encode())
            return
        try:
            body, content_type = self.server.answer(self.headers.get("Accept", ""))
        except _Crowded:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, b"others who asked before are still waiting\n")
            return
        except Exception as error:  # the ledger's, the disk's, or of a process's damaged counts
            _log.error("the metrics cannot be read", exc_info=error)
            code = error.code if isinstance(error, WharfingerError) else WharfingerError.code
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, f"{code}; the log of wharf serve tells more\n".encode())
            return
        self._send(HTTPStatus.OK, body, content_type)

    def _send(self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Whoever asks is not worth a line."""
