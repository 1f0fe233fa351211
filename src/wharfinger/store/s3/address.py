"""Where a store in S3 is, as its URL says. Credentials never stand in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from wharfinger.errors import ConfigError

_BUCKET = re.compile(
    r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
)  # docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_PREFIX = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_KNOWN = ("endpoint", "region")

FIX = "write it as s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION; only the bucket must be there"


@dataclass(frozen=True, slots=True)
class Address:
    """A place in a bucket."""

    bucket: str
    prefix: str = ""  # without slashes at its ends
    endpoint: str = ""  # URL; "": that of the region at Amazon, or what AWS_ENDPOINT_URL says
    region: str = ""  # "": what AWS_REGION says, else us-east-1

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def address(url: str) -> Address:
    """What the URL says. Raises ConfigError; it never repeats what could be a secret."""
    parts = urlsplit(url)
    if "@" in url.partition("?")[0] or ":" in parts.netloc:  # a secret may well have a slash in it
        raise _mistake(
            "the URL holds credentials", fix="leave them out: they come from AWS_ACCESS_KEY_ID or AWS_PROFILE"
        )
    if not _BUCKET.fullmatch(parts.netloc):
        raise _mistake(f"{parts.netloc!a} is no name of a bucket")
    prefix = parts.path.strip("/")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & {*prefix.split("/")}):
        raise _mistake(f"the prefix {prefix!a} has other characters than letters, digits, '.', '_', '-' and '/'")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if strange := sorted({*options} - {*_KNOWN}):
        raise _mistake(f"{strange[0]!a} is no option of the URL; there are: {', '.join(_KNOWN)}")
    endpoint = options.get("endpoint", "")
    if endpoint and not re.fullmatch(r"https?://[^/?#@]+/?", endpoint):
        raise _mistake("the endpoint is no URL of the form https://HOST:PORT")
    return Address(parts.netloc, prefix, endpoint.rstrip("/"), options.get("region", ""))


def _mistake(what: str, *, fix: str = FIX) -> ConfigError:
    return ConfigError(f"store: {what}", fix=fix)
