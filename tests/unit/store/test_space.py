"""Room on the disks that paths are on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rig.filesystems import ANOTHER
from wharfinger.store.space import disks


def test_paths_on_one_disk_are_one_of_which_the_first_is_named(tmp_path: Path) -> None:
    (free,) = disks(tmp_path / "not" / "yet", tmp_path).items()
    assert free == (tmp_path / "not" / "yet", pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1))


@pytest.mark.skipif(ANOTHER is None, reason="needs another filesystem")
def test_each_disk_is_named_in_the_order_of_the_paths(tmp_path: Path) -> None:
    assert ANOTHER is not None
    assert [*disks(ANOTHER / "store", tmp_path, tmp_path / "b", ANOTHER)] == [ANOTHER / "store", tmp_path]
