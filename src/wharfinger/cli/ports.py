"""What `wharf doctor` looks at from outside: who has the ports that the configuration names, and whether it is this installation."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from wharfinger.cli.finding import Finding
from wharfinger.cli.session import Session

if TYPE_CHECKING:
    from wharfinger.config.settings import Http, Metrics, Sftp

_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""Where to ask for what listens on every address."""

PATIENCE_S = 5.0
"""For how long somebody is listened to who may be another program."""

LONGEST = 4 << 20
"""Bytes; of figures wharf tells less."""


def sftp(session: Session) -> Iterator[Finding]:
    """The SFTP listener's. Ours is who has our host key."""
    place = session.settings.listeners.sftp
    if place is None:
        yield Finding("sftp", "ok", "no listener is wanted")
    else:
        yield _unbound("sftp", "listeners.sftp", place) or _answering_ssh(place, session.settings.data)


def uploads(session: Session) -> Iterator[Finding]:
    """The HTTP listener's, its libraries, its certificate, and its secret."""
    from wharfinger import app
    from wharfinger.ingest.http import ticket, tls

    place = session.settings.listeners.http
    if place is None:
        return
    app.check_installed()
    tls.context(place)
    if place.secret:
        ticket.secret(place.secret, session.settings.data)  # raises ConfigError for one that cannot be used
    yield _unbound("http", "listeners.http", place) or _answering_uploads(place)


def metrics(session: Session) -> Iterator[Finding]:
    """Prometheus'."""
    place = session.settings.metrics
    if place:
        yield _unbound("metrics", "metrics", place) or _answering_prometheus(place)


def _unbound(part: str, key: str, place: Sftp | Http | Metrics) -> Finding | None:
    """What can be said where nobody listens; None where somebody does."""
    if place.port == 0:
        return Finding(part, "ok", "a free port is taken at every start")
    where = f"{place.host}:{place.port}"
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((place.host, place.port))
        except PermissionError:
            return Finding(part, "fail", f"this user may not listen on {where}", f"set {key}.port above 1023")
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                said = f"nobody can listen on {where}: {exc.strerror}"
                return Finding(part, "fail", said, f"set {key}.host to an address of this machine")
            return None
    return Finding(part, "ok", f"{where} is free: wharf serve is not running")


def _taken(part: str, key: str, who: str, place: Sftp | Http | Metrics) -> Finding:
    return Finding(part, "fail", f"{who} holds {place.host}:{place.port}", f"stop it, or set another {key}.port")


def _answering_ssh(place: Sftp, data: Path) -> Finding:
    """The greeting alone is that of every wharf, and one that is busy may not come to more."""
    from wharfinger.ingest.sftp.hostkey import ANSWER_S, answering_key, known_keys

    where, host = f"{place.host}:{place.port}", _HERE.get(place.host, place.host)
    said = _greeting(host, place.port)
    key = asyncio.run(answering_key(host, place.port)) if said else None
    if key and key.public_data in {ours.public_data for ours in known_keys(place.host_keys, data)}:
        return Finding("sftp", "ok", f"wharf serves {where}")
    if "wharf" not in said.lower():
        other = f"another program ({said})" if said else "another program, which does not greet as SSH does,"
    elif key:
        other = f"another installation of wharf (its host key is {key.get_fingerprint()})"
    else:
        text = f"wharf greets at {where}, but shows no host key within {ANSWER_S:g} s: it is busy, or not this installation's"
        return Finding("sftp", "warn", text, "wharf doctor again, when this machine has less to do")
    return _taken("sftp", "listeners.sftp", other, place)


def _greeting(host: str, port: int) -> str:
    """The line by which an SSH server introduces itself (RFC 4253, 4.2)."""
    try:
        with socket.create_connection((host, port), timeout=3) as there:
            return there.recv(255).partition(b"\r\n")[0].decode("ascii", "replace")
    except OSError:
        return ""


def _answering_uploads(place: Http) -> Finding:
    from wharfinger.ingest.http import ticket

    if b"URL_REFUSED" in _answer(place, "PUT", f"{ticket.PREFIX}doctor", is_tls=bool(place.certificate)):
        return Finding("http", "ok", f"wharf takes uploads at {place.host}:{place.port}")
    return _taken("http", "listeners.http", "what does not answer as wharf does", place)


def _answering_prometheus(place: Metrics) -> Finding:
    where = f"{place.host}:{place.port}"
    if b"wharf_backlog" in _answer(place, "GET", "/metrics"):
        return Finding("metrics", "ok", f"wharf answers Prometheus at {where}")
    fix = "look into the log of wharf serve; or stop the other program, or set metrics.port"
    return Finding("metrics", "fail", f"what answers at {where} tells no figures of wharf", fix)


def _answer(place: Http | Metrics, method: str, path: str, *, is_tls: bool = False) -> bytes:
    """What is answered there, at most LONGEST bytes; nothing where it has not ended by then and within PATIENCE_S."""
    host = _HERE.get(place.host, place.host)
    name = f"[{host}]" if ":" in host else host
    request = f"{method} {path} HTTP/1.0\r\nHost: {name}:{place.port}\r\nContent-Length: 0\r\n\r\n"
    try:
        return asyncio.run(_asked(host, place.port, request.encode(), _anybody() if is_tls else None))
    except OSError:  # TimeoutError is one
        return b""


async def _asked(host: str, port: int, request: bytes, context: ssl.SSLContext | None) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        try:
            writer.write(request)
            answer = bytearray()
            while piece := await reader.read(1 << 16):
                answer += piece
                if len(answer) > LONGEST:
                    return b""
            return bytes(answer)
        finally:
            writer.transport.abort()


def _anybody() -> ssl.SSLContext:
    """Whatever its certificate: who answers is told by what it says."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
