"""kill -9 where the store is a bucket: nothing is lost, stranded, repeated or changed, and the journal tells of all of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rig import buckets
from rig.account import Account, calm
from rig.serving import CONFIG, Keeper, prepare
from rig.uploading import upload
from rig.waiting import wait_until

pytestmark = pytest.mark.slow

RAND = random.Random(3)
SENT = {f"f{n}.bin": RAND.randbytes(size) for n, size in enumerate([0, 1, 10_240, 9 << 20, *[3000] * 6])}

POINTS = ["intake.staged", "store.renamed", "intake.stored", "worker.published", "worker.delivered", "store.deleting"]
"""Those about which a bucket differs from a disk."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return calm(tmp_path_factory.mktemp("calm"), SENT)


@pytest.mark.parametrize("point", POINTS)
def test_kill_at(point: str, tmp_path: Path, results: dict[str, bytes]) -> None:
    prepare(tmp_path, CONFIG.replace("data: ./data\n", f"data: ./data\nstore: {buckets.url(tmp_path)}\n"))
    account, killed = Account(tmp_path, results), tmp_path / "killed"
    with Keeper(tmp_path, {"WHARF_CRASH": point, "WHARF_CRASH_ONCE": str(killed)}) as keeper:
        tries = upload(SENT, tmp_path / "key", keeper.port)
        wait_until(f"{point} was passed", killed.exists)
        account.settle()
    account.check(SENT, tries)
