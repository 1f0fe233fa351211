"""A node that receives and one that works, with nothing in common but a Postgres and a bucket: the one that works is killed."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from rig import buckets, postgres
from rig.account import LOOK_S, SLACK_S, Account, calm, stranded
from rig.serving import CONFIG, LEASE_S, Serving, prepare, wharf, worker
from rig.uploading import upload
from wharfinger.ledger.keyring import NAME

pytestmark = pytest.mark.slow

RAND = random.Random(5)
SENT = {f"f{n}.bin": RAND.randbytes(size) for n, size in enumerate([0, 1, 10_240, 2 << 20])}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return calm(tmp_path_factory.mktemp("calm"), SENT)


@pytest.mark.parametrize("point", ["worker.claimed", "worker.stepped", "worker.delivered"])
def test_a_killed_worker_of_another_node_delivers_each_upload_once(
    point: str, tmp_path: Path, results: dict[str, bytes]
) -> None:
    receives, works = nodes(tmp_path)
    account = Account(receives, results)
    with Serving(receives) as serving:
        assert serving.ready["workers"] == 0
        tries = upload(SENT, receives / "key", serving.port)
        with worker(works, {"WHARF_CRASH": point}, ends=-signal.SIGKILL) as process:
            process.wait(60)
        killed = time.time()
        with worker(works, {}):
            records = account.settle(LEASE_S + 1 + SLACK_S)
        assert stranded(records, since=killed) < LEASE_S + 1 + SLACK_S
        account.check(SENT, tries)
        assert wharf(works, "audit", "verify", seconds=LOOK_S)["findings"] == []


def nodes(root: Path) -> tuple[Path, Path]:
    """The directories of the one that receives and of the one that works; both deliver into the directory of the first."""
    receives, works = root / "receives", root / "works"
    shared = f"data: ./data\nledger: {postgres.schema(root)}\nstore: {buckets.url(root)}\n"
    text = CONFIG.replace("data: ./data\n", shared).replace("directory: ./out", f"directory: {receives / 'out'}")
    receives.mkdir()
    prepare(receives, text.replace("count: 2", "count: 0"))
    wharf(receives, "signing", "list")
    (works / "data").mkdir(parents=True)
    (works / "wharf.yaml").write_text(text.replace("listeners: {sftp: {host: 127.0.0.1, port: 0}}\n", ""))
    shutil.copy(receives / "data" / NAME, works / "data")
    return receives, works
