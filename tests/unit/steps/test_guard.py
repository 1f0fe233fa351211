from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from wharfinger.errors import Rejected, Transient
from wharfinger.steps.guard import UNWEIGHED, Guard, Limits

MIB = 1 << 20
LIMITS = Limits(free=0)


def guard(folder: Path, limits: Limits = LIMITS, *, size: int = 1000) -> Guard:
    return Guard(limits, size, folder, code="DECOMPRESS_LIMIT")


def test_output_up_to_the_limit_passes_and_one_byte_more_does_not(tmp_path: Path) -> None:
    watched = guard(tmp_path, replace(LIMITS, output=5000))
    watched.grow(5000)
    with pytest.raises(Rejected, match=r"grew to 5,001 bytes .* 5,000 are allowed for its 1,000") as caught:
        watched.grow(1)
    assert caught.value.code == "DECOMPRESS_LIMIT"
    assert "limits.output" in caught.value.fix


def test_ratio_does_not_count_before_ten_mebibytes(tmp_path: Path) -> None:
    watched = guard(tmp_path, size=1)
    watched.grow(UNWEIGHED)
    with pytest.raises(Rejected) as caught:
        watched.grow(1)
    assert "limits.ratio" in caught.value.fix


def test_ratio_counts_after_ten_mebibytes(tmp_path: Path) -> None:
    watched = guard(tmp_path, size=MIB)
    watched.grow(200 * MIB)
    with pytest.raises(Rejected):
        watched.grow(1)


DECLARED = {
    "entries": ([("a", 0), ("b", 0), ("c", 0)], "has more than 2 entries"),
    "name": ([("a" * 11, 0)], "has a name of more than 10 bytes: 'aaaaaaaaaaa'"),
    "entry": ([("a", 101)], "declares 101 bytes for 'a'; the limit is 100"),
    "output": ([("a", 100), ("b", 51)], "declares 151 bytes; 150 are allowed for its 1,000"),
}


@pytest.mark.parametrize("limit", DECLARED)
def test_archive_that_declares_too_much_is_refused_before_its_first_byte(tmp_path: Path, limit: str) -> None:
    watched = guard(tmp_path, replace(LIMITS, entries=2, name=10, entry=100, output=150))
    watched.admit([("a" * 10, 100), ("b", 50)])
    entries, why = DECLARED[limit]
    with pytest.raises(Rejected, match=why) as caught:
        watched.admit(entries)
    assert f"limits.{limit}" in caught.value.fix


def test_entries_are_not_all_read_when_there_are_too_many(tmp_path: Path) -> None:
    with pytest.raises(Rejected):
        guard(tmp_path).admit((str(n), 0) for n in iter(int, 1))


def test_processor_time_is_limited_even_where_nothing_comes_out(tmp_path: Path) -> None:
    watched = guard(tmp_path, replace(LIMITS, cpu_s=0.01))
    with pytest.raises(Rejected, match=r"more than 0\.01 s of processor time") as caught:
        all(watched.grow(0) is None for _ in iter(int, 1))
    assert caught.value.code == "CPU_LIMIT"


def test_full_disk_is_no_fault_of_the_file(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    watched = guard(tmp_path, replace(LIMITS, free=disk.f_blocks * disk.f_frsize))
    with pytest.raises(Transient) as caught:
        watched.grow(1)
    assert caught.value.code == "NO_SPACE"
    with pytest.raises(Transient):
        watched.admit([("a", 1)])
