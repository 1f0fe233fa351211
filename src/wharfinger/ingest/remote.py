"""
A bucket as boto3 shows it, read only. obstore would be quicker, but one key that it cannot parse (`a//b`) ends its listing, and partners
choose their keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

from wharfinger.errors import ConfigError, NotFound, StoreError, Unreachable

PIECE = 1 << 20
"""Bytes that are read at once."""

_GONE = {"NoSuchKey", "PreconditionFailed", "404", "412"}
_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403"}


class Place(Protocol):
    """Where a bucket is; see store.s3.address."""

    @property
    def bucket(self) -> str: ...  # noqa: D102
    @property
    def prefix(self) -> str: ...  # noqa: D102
    @property
    def endpoint(self) -> str: ...  # noqa: D102
    @property
    def region(self) -> str: ...  # noqa: D102


class Remote:
    """See bucket.Remote. For one thread."""

    def __init__(self, place: Place) -> None:
        """Raises ConfigError where boto3 is missing."""
        self._bucket, self._prefix = place.bucket, f"{place.prefix}/" if place.prefix else ""
        self._client = client("s3", region=place.region, endpoint=place.endpoint)

    def objects(self) -> Iterator[tuple[str, int, str, datetime]]:
        """See bucket.Remote."""
        cut = len(self._prefix)
        with self._asking("it could not be listed"):
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            ):
                for each in page.get("Contents", ()):
                    yield each["Key"][cut:], each["Size"], each["ETag"], each["LastModified"]

    def stream(self, key: str, etag: str) -> Iterator[bytes]:
        """See bucket.Remote."""
        with self._asking(f"{key!a} could not be read"):
            found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, IfMatch=etag)
            yield from found["Body"].iter_chunks(PIECE)

    @contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        """Turn what boto3 raises into an error of ours. Its words are dropped: they may name more than a log should."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as exc:
            raise self._refused(doing, exc.response.get("Error", {})) from None
        except (BotoCoreError, OSError) as exc:
            fix = "see that the service is up and can be reached"
            raise Unreachable(f"s3://{self._bucket}: {doing}: {type(exc).__name__}", fix=fix) from None

    def _refused(self, doing: str, told: Mapping[str, Any]) -> StoreError:
        code = str(told.get("Code", ""))
        if code in _GONE:
            return NotFound(f"s3://{self._bucket}: {doing}: it is not what was listed any more")
        if code == "NoSuchBucket":
            return StoreError(f"there is no bucket {self._bucket!r}", code="NO_BUCKET", fix="correct `bucket`")
        if code in _DENIED:
            fix = "look at the credentials (AWS_ACCESS_KEY_ID or AWS_PROFILE) and at what they may do in the bucket"
            return StoreError(f"s3://{self._bucket}: {doing}: {code}", code="NOT_PERMITTED", fix=fix)
        return Unreachable(
            f"s3://{self._bucket}: {doing}: {code}", fix="try again in a moment; what serves does so by itself"
        )


def client(service: str, *, region: str = "", endpoint: str = "") -> Any:
    """boto3's client of a service, with credentials from the environment. Raises ConfigError where boto3 is missing, or knows no region."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ModuleNotFoundError as exc:
        fix = "in the checkout: pip install '.[bucket]'"
        raise ConfigError(f"a source in a bucket needs the package {exc.name}", code="EXTRA_MISSING", fix=fix) from exc
    patience = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "max_attempts": 5})
    try:
        return boto3.client(service, region_name=region or None, endpoint_url=endpoint or None, config=patience)
    except (BotoCoreError, ValueError) as exc:
        fix = "look at the region (AWS_REGION) and the AWS_ variables of the environment"
        raise ConfigError(f"{service} cannot be used: {type(exc).__name__}", fix=fix) from None
