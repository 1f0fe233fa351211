from __future__ import annotations

import errno
import hashlib
import io
import itertools
import os
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rig.waiting import wait_until
from wharfinger.errors import NotFound, StoreError
from wharfinger.store import behind, disk
from wharfinger.store import staging as module
from wharfinger.store.staging import Staged, Staging


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path)


@pytest.fixture
def staged(staging: Staging) -> Iterator[Staged]:
    made = staging.create()
    yield made
    made.close()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def restarted(staging: Staging, boot: str = "another0") -> Staging:
    """The same directory after the machine was restarted."""
    other = Staging(staging._root)
    other._boot = boot
    return other


def died(staged: Staged) -> str:
    """Its process is gone, without a word."""
    staged.close()
    return staged.id


data = st.binary(max_size=12)
offsets = st.integers(0, 9) | st.integers(0, 40)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("write"), offsets, data),
        st.tuples(st.just("append"), data),
        st.tuples(st.just("truncate"), offsets),
    ),
    max_size=15,
)


@settings(max_examples=200)
@given(
    base=st.none() | st.binary(max_size=40),
    steps=operations,
    reads=st.lists(offsets, max_size=3),
    large=st.sampled_from([0, 10, 1 << 20]),
    far=st.booleans(),
)
def test_writes_in_any_order_give_the_bytes_and_the_hash_of_a_plain_file(
    base: bytes | None, steps: list[tuple[object, ...]], reads: list[int], large: int, far: bool
) -> None:
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LARGE", large)
        patch.setattr(behind, "PIECE", 5)
        (older := Path(root, "older.object")).write_bytes(base or b"")
        opened = None if base is None else io.BytesIO(base) if far else older.open("rb")
        staged = Staging(root).create(opened)
        model, covered = bytearray(base or b""), set(range(len(base or b"")))
        for n, step in enumerate(steps):
            match step:
                case ("append", bytes(piece)):
                    staged.write(len(model), piece)
                    covered |= set(range(len(model), len(model) + len(piece)))
                    model += piece
                case ("write", int(offset), bytes(piece)):
                    staged.write(offset, piece)
                    if piece:
                        model.extend(bytes(max(0, offset - len(model))))
                        model[offset : offset + len(piece)] = piece
                        covered |= set(range(offset, offset + len(piece)))
                case ("truncate", int(size)):
                    staged.truncate(size)
                    covered = {n for n in covered if n < size} | set(range(len(model), size))
                    model = model[:size] + bytes(max(0, size - len(model)))
            if n in reads:
                assert staged.read(0, 100) == model
            assert staged.size == len(model)
        assert {n for gap in staged.gaps() for n in range(*gap)} == set(range(len(model))) - covered
        if staged.gaps():
            with pytest.raises(StoreError, match="has no bytes for"):
                staged.finish()
        else:
            assert staged.finish() == (len(model), sha256(model))
            assert Path(staged.path).read_bytes() == model
            assert staged.read(0, len(model)) == model
        staged.close()


def test_an_empty_file_is_complete(staged: Staged) -> None:
    assert staged.gaps() == []
    assert staged.finish() == (0, sha256(b""))


def test_a_file_may_be_written_on_after_it_was_finished(staged: Staged) -> None:
    staged.write(0, b"ab")
    assert staged.finish() == (2, sha256(b"ab"))
    staged.write(2, b"c")
    assert staged.finish() == (3, sha256(b"abc"))
    staged.write(0, b"A")
    assert staged.finish() == (3, sha256(b"Abc"))


def test_a_file_in_order_is_hashed_without_being_read(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Staged, "_read_at", None)
    for n in range(10):
        staged.write(n * 100, bytes(100))
    assert staged.finish() == (1000, sha256(bytes(1000)))


def send(staged: Staged, content: bytes) -> None:
    for offset in range(0, len(content), 32768):
        staged.write(offset, content[offset : offset + 32768])
    staged.settle()


def test_a_large_file_ends_before_the_write_that_failed_and_may_be_written_on(staged: Staged) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    content, room = os.urandom(8 << 20), 3_000_000
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (room, limits[1])
    )  # the kernel refuses what goes beyond, as on a full disk
    try:
        with pytest.raises(StoreError, match="could not be written at byte"):
            send(staged, content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert 1 << 20 <= staged.size <= room
    assert Path(staged.path).stat().st_size == staged.size
    staged.write(staged.size, content[staged.size :])
    assert staged.finish() == (len(content), sha256(content))
    assert Path(staged.path).read_bytes() == content


def test_what_a_large_file_could_not_write_is_not_set_aside(staging: Staging) -> None:
    limits, content = resource.getrlimit(resource.RLIMIT_FSIZE), os.urandom(2 << 20)
    staged = staging.create()
    staged.write(0, content[: 1 << 20])
    resource.setrlimit(resource.RLIMIT_FSIZE, ((1 << 20) + 100, limits[1]))
    try:
        with suppress(StoreError):  # or it is told later
            staged.write(1 << 20, content[1 << 20 : -1])
        kept = staged.park()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert kept == 1 << 20
    resumed = staging.resume(staged.id)
    assert resumed.size == kept
    resumed.write(kept, content[kept:])
    assert resumed.finish() == (len(content), sha256(content))
    resumed.close()


def test_a_resumed_file_is_hashed_by_the_threads(staging: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(5 << 20)
    first = staging.create()
    send(first, content[: 3 << 20])
    assert first.park() == 3 << 20
    staged = staging.resume(first.id)
    monkeypatch.setattr(Staged, "_read_at", None)
    staged.write(3 << 20, content[3 << 20 :])
    assert staged.finish() == (len(content), sha256(content))
    staged.close()


def test_beyond_so_many_files_each_is_written_by_its_caller(staging: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "FILES", 2)
    files, content = [staging.create() for _ in range(5)], os.urandom(3 << 20)
    for start in range(0, len(content), 1 << 19):
        for file in files:
            file.write(start, content[start : start + (1 << 19)])
    assert [file.finish() for file in files] == [(len(content), sha256(content))] * 5
    assert not staging._scribes._files
    for file in files:
        assert Path(file.path).read_bytes() == content
        file.close()


def test_who_writes_faster_than_the_disk_is_told_to_wait(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    may_write, pwrite, piece = threading.Event(), os.pwrite, bytes(1 << 19)

    def slowly(fd: int, data: bytes, at: int) -> int:
        may_write.wait(10)
        return pwrite(fd, data, at)

    send(staged, bytes(1 << 20))
    monkeypatch.setattr(os, "pwrite", slowly)
    written = 0
    while staged.backlog is None:
        staged.write(staged.size, piece)
        written += 1
    assert written == behind.MOST + 1
    backlog = staged.backlog
    may_write.set()
    backlog.result(10)
    assert staged.finish()[0] == (1 << 20) + written * len(piece)


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_what_could_not_be_made_durable_counts_no_more(
    staging: Staging, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    staged, sync, calls = staging.create(), disk.sync, itertools.count()

    def fails_once(fd: int) -> None:
        if not next(calls):
            raise OSError(errno.EIO, "Input/output error")
        sync(fd)

    monkeypatch.setattr(disk, "sync", fails_once)
    staged.write(0, bytes(size))
    with pytest.raises(StoreError, match="could not be made durable"):
        staged.sync()
    with pytest.raises(StoreError, match="has no bytes for 0"):
        staged.finish()
    assert staging.resume(died(staged)).size == 0
    again = staging.create()
    calls = itertools.count()
    again.write(0, bytes(size))
    with pytest.raises(StoreError):
        again.sync()
    assert again.park() == 0


def test_a_file_that_cannot_be_opened_leaves_nothing(staging: Staging) -> None:
    class Broken(io.BytesIO):
        def seek(self, _offset: int, _whence: int = 0, /) -> int:
            raise OSError(errno.EIO, "Input/output error")

    open_before = len(os.listdir("/proc/self/fd"))
    base = Broken()
    with pytest.raises(StoreError, match="Input/output error"):
        staging.create(base)
    assert base.closed
    assert len(os.listdir("/proc/self/fd")) == open_before
    assert staging.ids() == []


def test_pieces_that_overtook_each_other_are_hashed_as_soon_as_the_late_one_comes(staged: Staged) -> None:
    staged.write(2, b"cd")
    staged.write(0, b"ab")
    assert staged._hashed == 4
    assert staged.finish() == (4, sha256(b"abcd"))


def test_a_hole_made_by_an_extension_counts_as_zeros(staged: Staged) -> None:
    staged.write(0, b"ab")
    staged.truncate(4)
    assert staged.gaps() == []
    assert staged.finish() == (4, sha256(b"ab\0\0"))


def test_a_hole_left_by_writes_is_a_gap(staged: Staged) -> None:
    staged.write(0, b"ab")
    staged.write(4, b"ef")
    assert staged.gaps() == [(2, 4)]
    with pytest.raises(StoreError) as refused:
        staged.finish()
    assert refused.value.code == "INCOMPLETE"


def test_an_offset_beyond_what_a_file_can_hold_is_refused(staged: Staged) -> None:
    for offset in (2**63 - 1, 2**64 - 1):
        with pytest.raises(StoreError):
            staged.write(offset, b"x")
        with pytest.raises(StoreError):
            staged.truncate(offset + 1)
    staged.write(0, b"ab")
    assert staged.finish() == (2, sha256(b"ab"))


def test_an_overwrite_of_everything_never_copies_the_older_version(
    staging: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = tmp_path / "older.object"
    older.write_bytes(b"a long older version")
    monkeypatch.setattr(module.disk, "_copy_some", None)
    staged = staging.create(older.open("rb"))
    staged.write(0, b"short")
    staged.truncate(5)
    assert staged.finish() == (5, sha256(b"short"))
    staged.close()


def test_an_older_version_shows_where_nothing_was_written(staging: Staging, tmp_path: Path) -> None:
    older = tmp_path / "older.object"
    older.write_bytes(b"0123456789")
    staged = staging.create(older.open("rb"))
    older.unlink()
    staged.write(3, b"xy")
    assert staged.read(0, 100) == b"012xy56789"
    assert staged.finish() == (10, sha256(b"012xy56789"))
    staged.close()


def test_a_parked_file_resumes_where_its_bytes_have_no_gap(staging: Staging) -> None:
    staged = staging.create()
    staged.write(0, b"abcd")
    staged.write(6, b"gh")
    assert staged.park() == 4
    for after in (staging, restarted(staging)):
        again = after.resume(staged.id)
        assert again.size == 4
        assert again.read(0, 100) == b"abcd"
        again.close()
    again = staging.resume(staged.id)
    again.write(4, b"ef")
    assert again.finish() == (6, sha256(b"abcdef"))
    again.close()


def test_zeros_that_only_reserve_room_are_not_kept_for_a_resume(staging: Staging) -> None:
    staged = staging.create()
    staged.truncate(1000)
    staged.write(0, b"abcd")
    assert staged.park() == 4
    assert staging.resume(staged.id).size == 4


def test_a_file_whose_writer_died_resumes_whole_if_it_was_written_in_order(staging: Staging) -> None:
    staged = staging.create()
    staged.write(0, b"abcd")
    staged.write(2, b"CDEF")
    again = staging.resume(died(staged))
    assert again.size == 6
    assert again.finish() == (6, sha256(b"abCDEF"))
    again.close()


@pytest.mark.parametrize("hole", ["write", "truncate"])
def test_a_file_with_a_hole_whose_writer_died_is_not_resumed(staging: Staging, hole: str) -> None:
    staged = staging.create()
    staged.write(0, b"abcd")
    if hole == "write":
        staged.write(6, b"gh")
    else:
        staged.truncate(8)
    assert staging.resume(died(staged)).size == 0


def test_a_file_that_was_not_parked_is_not_resumed_after_the_machine_restarted(staging: Staging) -> None:
    staged = staging.create()
    staged.write(0, b"abcd")
    assert restarted(staging).resume(died(staged)).size == 0


def test_an_overwritten_older_version_whose_writer_died_is_not_resumed(staging: Staging, tmp_path: Path) -> None:
    older = tmp_path / "older.object"
    older.write_bytes(b"0123456789")
    staged = staging.create(older.open("rb"))
    staged.write(0, b"abcd")
    assert staging.resume(died(staged)).size == 0


def test_only_the_parked_bytes_of_a_resumed_file_survive_another_death(staging: Staging) -> None:
    staged = staging.create()
    staged.write(0, b"abcd")
    staged.park()
    again = staging.resume(staged.id)
    again.write(8, b"ij")
    assert staging.resume(died(again)).size == 4


def test_a_resumed_file_that_was_cut_is_trusted_no_further(staging: Staging) -> None:
    staged = staging.create()
    staged.write(0, b"abcd")
    staged.park()
    again = staging.resume(staged.id)
    again.truncate(2)
    again.write(6, b"gh")
    assert staging.resume(died(again)).size == 2


def test_a_finished_file_leaves_no_mark_behind(staging: Staging, tmp_path: Path) -> None:
    staged = staging.create()
    staged.write(2, b"cd")
    staged.write(0, b"ab")
    assert len(list(tmp_path.iterdir())) == 2
    staged.finish()
    assert [path.name for path in tmp_path.iterdir()] == [staged.id]
    staged.close()


def test_a_file_has_one_writer_at_a_time(staging: Staging, staged: Staged) -> None:
    with pytest.raises(StoreError) as refused:
        staging.resume(staged.id)
    assert refused.value.code == "IN_USE"
    staged.write(0, b"ab")
    assert staged.finish() == (2, sha256(b"ab"))


def test_a_file_that_became_an_object_meanwhile_is_not_resumed(
    staging: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = died(staging.create())
    opened = os.open

    def open_then_move(path: str, *args: int) -> int:
        fd = opened(path, *args)
        os.rename(path, tmp_path / "an.object")
        return fd

    monkeypatch.setattr(os, "open", open_then_move)
    with pytest.raises(NotFound):
        staging.resume(id)


@pytest.mark.parametrize("id", ["", "nope", "../secret", "a/b", "x.sure", ".."])
def test_resuming_what_is_not_there_says_so(staging: Staging, id: str) -> None:
    with pytest.raises(NotFound):
        staging.resume(id)


def test_discarding_removes_all_traces_and_may_be_repeated(staging: Staging, tmp_path: Path) -> None:
    staged = staging.create()
    staged.write(5, b"x")
    staged.close()
    staging.discard(staged.id)
    staging.discard(staged.id)
    assert list(tmp_path.iterdir()) == []


def test_the_ids_are_those_of_all_files_oldest_first(staging: Staging) -> None:
    made = [staging.create() for _ in range(3)]
    made[1].write(5, b"x")
    assert staging.ids() == [each.id for each in made]
    for each in made:
        each.close()


def test_closing_may_be_repeated(staged: Staged) -> None:
    staged.close()
    staged.close()


class Late:
    """A lock that whoever hands over comes to late, and a thread less so: everything has happened meanwhile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        time.sleep(0.002 if threading.current_thread().name.startswith("scribe") else 0.02)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_pieces_that_come_while_a_thread_ends_its_turn_are_written(
    staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGE", 0)
    monkeypatch.setattr(behind, "PIECE", 10)
    monkeypatch.setattr(behind, "Lock", Late)
    content, finished = os.urandom(200), list[tuple[int, str]]()
    staged = staging.create()

    def write() -> None:
        for n in range(0, len(content), 20):
            staged.write(n, content[n : n + 20])
            wait_until("the threads have come to an end", lambda: staged._behind is None or staged._behind._is_idle)
        finished.append(staged.finish())

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(30)
    assert finished == [(len(content), sha256(content))]
