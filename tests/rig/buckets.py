"""An S3 service of the tests' own, and stores in its buckets."""

from __future__ import annotations

import atexit
import hashlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path

from rig.serving import free_port
from rig.waiting import wait_until
from wharfinger.store.s3.address import address
from wharfinger.store.s3.client import Client
from wharfinger.store.s3.store import S3Store

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAFORTESTSONLY0000",
    "AWS_SECRET_ACCESS_KEY": "a/secret/that/nobody/may/ever/see/anywhere",
    "AWS_SESSION_TOKEN": "a-token-that-nobody-may-ever-see-either",
}
os.environ.update(CREDENTIALS)  # for the processes that tests start as well


@cache
def moto() -> str:
    """The endpoint of a moto server, which lives as long as this process."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    atexit.register(server.wait)
    atexit.register(server.kill)  # runs first
    endpoint = f"http://127.0.0.1:{port}"
    wait_until("moto answers", lambda: _answers(endpoint))
    return endpoint


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5).close()
    except OSError:
        return False
    return True


def bucket(root: Path) -> str:
    """A bucket that belongs to this directory: the same one at each call, empty at the first."""
    name = f"wharf-{hashlib.sha256(str(root).encode()).hexdigest()[:20]}"
    request = urllib.request.Request(f"{moto()}/{name}", method="PUT")
    with urllib.request.urlopen(request, timeout=10):
        return name


def url(root: Path, *, endpoint: str = "") -> str:
    """The URL of the store in that bucket, reached over `endpoint`."""
    return f"s3://{bucket(root)}/custody?endpoint={endpoint or moto()}&region=us-east-1"


def a_store(root: Path, *, endpoint: str = "", spool: str = "spool") -> S3Store:
    """The store in that bucket, as another process would open it."""
    return S3Store(Client(address(url(root, endpoint=endpoint))), root / spool)
