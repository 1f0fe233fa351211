"""
Signed URLs: leave to PUT one file under one key, for a while.

    https://host/put/acme/inbound/a.csv?version=01K1F9Z...&expires=1772366671&max=10000000&type=text%2Fcsv&signature=...

The version is that of the file: whoever uses the URL again means the same file. The signature is HMAC-SHA256 (RFC 2104) over all of
it, in base64url without padding (RFC 4648, section 5).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

from wharfinger.errors import ConfigError, UsageError
from wharfinger.model import is_ulid
from wharfinger.names import key_fault, shown
from wharfinger.store import disk

PREFIX = "/put/"
"""How the path of a signed URL begins; the key follows."""

SECRET = "url_secret"  # noqa: S105 (the name of its file in the data directory)
SECRET_SIZE = 32  # bytes: as many as the hash has (RFC 2104, section 3)

_PARAMETERS = ("version", "expires", "max", "type", "signature")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+( *; *[\w-]+=[\w.-]+)*", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,15}")


class Refused(Exception):
    """The URL is not one of ours, was altered, or is over; the words are for whoever holds it."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to PUT one file. Raises UsageError where it makes no sense."""

    key: str  # "acme/inbound/a.csv"
    version: str  # a ULID
    expires: int  # epoch s: no request begins later
    max_size: int  # bytes
    media_type: str = ""  # the Content-Type that the request must have; "": any or none

    def __post_init__(self) -> None:
        if why := key_fault(self.key):
            raise UsageError(f"the name {shown(self.key)} {why}", fix="name it otherwise")
        if not is_ulid(self.version):
            raise UsageError(f"{self.version!r} is no version")
        if self.media_type and not _MEDIA_TYPE.fullmatch(self.media_type):
            raise UsageError(f"{self.media_type!r} is no content type", fix="write it as text/csv")

    def url(self, base: str, secret: bytes) -> str:
        """The URL below `base`, such as "https://files.example.com"."""
        query = {
            "version": self.version,
            "expires": str(self.expires),
            "max": str(self.max_size),
            "type": self.media_type,
            "signature": self._signature(secret),
        }
        return f"{base.rstrip('/')}{PREFIX}{quote(self.key)}?{urlencode(query)}"

    def _signature(self, secret: bytes) -> str:
        said = "\n".join(
            ("wharf 1", "PUT", self.key, self.version, str(self.expires), str(self.max_size), self.media_type)
        )
        digest = hmac.digest(secret, said.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def check(key: str, query: str, secret: bytes, *, now: float) -> Ticket:
    """The ticket of a URL with this key and query. Raises Refused."""
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=len(_PARAMETERS))
        if sorted(name for name, _ in given) != sorted(_PARAMETERS):
            raise ValueError
        told = dict(given)
        ticket = Ticket(key, told["version"], _number(told["expires"]), _number(told["max"]), told["type"])
        is_ours = hmac.compare_digest(ticket._signature(secret).encode(), told["signature"].encode())
    except (ValueError, UsageError) as exc:
        raise Refused("the URL is not whole, or was altered") from exc
    if not is_ours:
        raise Refused("the URL is not whole, or was altered")
    if now > ticket.expires:
        raise Refused("the URL is over; ask for another")
    return ticket


def secret(path: Path | None, data: Path) -> bytes:
    """What URLs are signed with: the content of `path`, else of a file in `data`, which is made when it is missing. Raises ConfigError."""
    place = path or data / SECRET
    if path is None:
        disk.make_secret(str(place), lambda: os.urandom(SECRET_SIZE).hex().encode())
    try:
        found = place.read_bytes().strip()
    except OSError as exc:
        raise ConfigError(
            f"listeners.http.secret: {place}: {exc.strerror}", fix="name a file that can be read"
        ) from exc
    if len(found) < SECRET_SIZE:
        raise ConfigError(
            f"listeners.http.secret: {place} has {len(found)} bytes; at least {SECRET_SIZE} are wanted",
            fix=f"openssl rand -hex 32 > {place}",
        )
    return found


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)
