"""The store in a bucket of an S3-compatible service."""

from __future__ import annotations

from pathlib import Path

from wharfinger.errors import ConfigError
from wharfinger.store import Store
from wharfinger.store.s3.address import address


def open_url(url: str, spool: Path) -> Store:
    """The store at `s3://BUCKET/PREFIX?endpoint=...&region=...`; what is under way lies in the directory `spool`."""
    place = address(url)
    try:
        from wharfinger.store.s3.client import Client
        from wharfinger.store.s3.store import S3Store
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"store: a store in S3 needs the package {exc.name}, which is not installed",
            code="EXTRA_MISSING",
            fix="in the checkout: pip install '.[s3]'",
        ) from exc
    return S3Store(Client(place), spool)
