"""A small Ceph of the tests' own, with its S3 gateway: one monitor, one disk in memory, no authentication inside."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import subprocess
import tempfile
import urllib.request
import uuid
from functools import cache
from pathlib import Path
from unittest.mock import patch

import boto3

from rig.buckets import CREDENTIALS
from rig.needs import missing
from rig.serving import free_port
from rig.waiting import wait_until
from wharfinger.store.s3.address import address
from wharfinger.store.s3.client import Client
from wharfinger.store.s3.store import S3Store

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]

CONFIG = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon}]
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
run dir = {root}
log file = {root}/$name.log
admin socket = {root}/$name.asok
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
mon allow pool size one = true
mon osd min down reporters = 99
mon data avail crit = 1
mon data avail warn = 2
[mon.a]
mon data = {root}/mon
[osd.0]
osd data = {root}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
[client.rgw]
rgw data = {root}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw gc obj min wait = 3600
"""


@cache
def gateway() -> str:
    """The endpoint of the gateway; all of it lives as long as this process."""
    root = Path(tempfile.mkdtemp(prefix="wharf-ceph-"))
    fsid, mon, port = uuid.uuid4(), free_port(), free_port()
    (root / "ceph.conf").write_text(CONFIG.format(fsid=fsid, mon=mon, port=port, root=root))
    for name in ("mon", "osd", "rgw"):
        (root / name).mkdir()
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    _run(
        root,
        "monmaptool",
        "--create",
        "--addv",
        "a",
        f"[v2:127.0.0.1:{mon}]",
        "--fsid",
        str(fsid),
        str(root / "monmap"),
    )
    _run(root, "ceph-mon", "--mkfs", "-i", "a", "--monmap", str(root / "monmap"))
    _start(root, "ceph-mon", "-i", "a")
    osd = str(uuid.uuid4())
    _run(root, "ceph", "--connect-timeout", "60", "osd", "new", osd)
    _run(root, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
    _start(root, "ceph-osd", "-i", "0")
    key, secret = CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    user = ("user", "create", "--uid", "wharf", "--display-name", "wharf", "--access-key", key, "--secret", secret)
    _run(root, "radosgw-admin", *user)
    _start(root, "radosgw", "-n", "client.rgw")
    endpoint = f"http://127.0.0.1:{port}"
    wait_until("the gateway answers", lambda: _answers(endpoint), seconds=90)
    return endpoint


def a_store(root: Path) -> S3Store:
    """A store in a bucket that belongs to this directory, as another process would open it."""
    if MISSING:
        missing("radosgw", f"needs Debian's radosgw, ceph-mon, ceph-osd and ceph-common: {MISSING[0]} is not there")
    name, endpoint = f"wharf-{hashlib.sha256(str(root).encode()).hexdigest()[:20]}", gateway()
    with patch.dict(os.environ):
        del os.environ["AWS_SESSION_TOKEN"]  # the gateway knows keys alone
        boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=name)
        return S3Store(Client(address(f"s3://{name}/custody?endpoint={endpoint}&region=us-east-1")), root / "spool")


def _run(root: Path, *words: str) -> None:
    done = subprocess.run(_command(root, words), capture_output=True, text=True, timeout=90, env=_environ())
    assert done.returncode == 0, f"{words}: {done.stderr}"


def _start(root: Path, *words: str) -> None:
    with (root / f"{words[0]}.out").open("w") as out:
        process = subprocess.Popen([*_command(root, words), "-f"], stdout=out, stderr=out, env=_environ())
    atexit.register(process.wait)
    atexit.register(process.kill)  # runs first


def _command(root: Path, words: tuple[str, ...]) -> list[str]:
    return [words[0], "-c", str(root / "ceph.conf"), *words[1:]] if words[0] != "monmaptool" else [*words]


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("CEPH_", "AWS_"))}


def _answers(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(endpoint, timeout=5).close()
    except OSError:
        return False
    return True
