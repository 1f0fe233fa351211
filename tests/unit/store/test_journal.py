from __future__ import annotations

import os
import resource
import tracemalloc
from pathlib import Path

import pytest

from wharfinger.errors import StoreError
from wharfinger.model import ObjectRef
from wharfinger.store.journal import Damaged, Deleted, Entry, Journal, Kept, Noted, deleted_line, note_line, object_line
from wharfinger.store.versions import Versions

DAY = 86_400.0


class Clock:
    now = 1_753_900_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Journal:
    return Journal(tmp_path, clock)


def line(key: str, clock: Clock) -> bytes:
    return object_line(ObjectRef("in", key, "v", 1, "00"), {}, clock())


def told(entries: object) -> list[str]:
    """Each entry as one word: the key, with ? where it is not sure, or - where it was deleted."""

    def word(entry: Entry) -> str:
        match entry:
            case Kept(listed, sure):
                return listed.ref.key + ("" if sure else "?")
            case Deleted(ref):
                return f"-{ref.key}"
            case Noted(note):
                return f"note {note['n']}"
            case Damaged(_, number):
                return f"damaged {number}"

    return [word(entry) for entry in entries]  # type: ignore[attr-defined]


def files(root: Path) -> list[Path]:
    return sorted(root.glob("*/*.ndjson"))


def test_what_was_confirmed_is_sure(journal: Journal, clock: Clock) -> None:
    first = journal.append([line("a", clock), line("b", clock)])
    journal.append([line("c", clock)])
    assert told(journal.read()) == ["a?", "b?", "c?"]
    journal.confirm(first)
    assert told(journal.read()) == ["a", "b", "c?"]


def test_what_was_void_is_not_told(journal: Journal, clock: Clock) -> None:
    journal.append([note_line({"n": 0}, clock())])
    group = journal.append([line(key, clock) for key in "abc"])
    journal.confirm(group, void=[1])
    assert told(journal.read()) == ["note 0", "a", "c"]


def test_groups_may_be_confirmed_in_any_order(journal: Journal, clock: Clock) -> None:
    first, second = journal.append([line("a", clock)]), journal.append([line("b", clock)])
    journal.confirm(second)
    journal.confirm(first)
    assert sorted(told(journal.read())) == ["a", "b"]


def test_a_torn_last_line_is_passed_over(journal: Journal, clock: Clock, tmp_path: Path) -> None:
    journal.confirm(journal.append([line("a", clock)]))
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    for cut in range(len(whole.splitlines(keepends=True)[0]), len(whole) + 1):
        path.write_bytes(whole[:cut])
        assert told(journal.read()) in (["a?"], ["a"])
    for tail in (b'{"bucket":"in', b"\0" * 100, b"\xff\n"):
        path.write_bytes(whole + tail)
        assert told(journal.read()) == ["a"]


def test_a_damaged_line_is_told_and_hides_no_other(journal: Journal, clock: Clock, tmp_path: Path) -> None:
    journal.append([line(key, clock) for key in "abc"])
    (path,) = files(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"x" + lines[1] + lines[2])
    assert sorted(told(journal.read())) == ["a?", "c?", "damaged 2"]


def test_a_line_of_another_kind_is_damaged_or_ignored(journal: Journal, clock: Clock, tmp_path: Path) -> None:
    odd = [b"5", b'{"bucket":"in"}', b'{"kept":3}', b'{"deleted":{"key":1}}', b'{"at":"noon"}']
    journal.append([*odd, b'{"of a later version":1}', line("a", clock)])
    assert told(journal.read()) == [*(f"damaged {n + 1}" for n in range(len(odd))), "a?"]


def test_each_process_has_a_file_of_its_own_and_reads_all(tmp_path: Path, clock: Clock) -> None:
    one, two = Journal(tmp_path, clock), Journal(tmp_path, clock)
    for key, journal in zip("abcdef", [one, two, one, one, two, two]):
        journal.confirm(journal.append([line(key, clock)]))
    assert len(files(tmp_path)) == 2
    assert told(one.read()) == told(two.read()) == list("abcdef")


def test_a_new_day_is_a_new_file(journal: Journal, clock: Clock, tmp_path: Path) -> None:
    journal.confirm(journal.append([line("a", clock)]))
    clock.now += DAY
    journal.confirm(journal.append([line("b", clock)]))
    assert [path.parent.name for path in files(tmp_path)] == ["2025-07-30", "2025-07-31"]
    assert told(journal.read()) == ["a", "b"]


def test_a_new_process_never_appends_to_an_old_file(tmp_path: Path, clock: Clock) -> None:
    for key in "ab":
        Journal(tmp_path, clock).append([line(key, clock)])
    assert len(files(tmp_path)) == 2


def test_after_a_failed_sync_the_file_is_never_appended_to(
    journal: Journal, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append([line("a", clock)])

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("wharfinger.store.journal.sync", fail)
        with pytest.raises(StoreError) as refused:
            journal.append([line("b", clock)])
    assert refused.value.code == "DISK_FAILED"
    (old,) = files(tmp_path)
    before = old.read_bytes()
    journal.append([line("c", clock)])
    assert old.read_bytes() == before
    assert len(files(tmp_path)) == 2


def test_a_confirmation_for_a_closed_file_is_dropped(journal: Journal, clock: Clock) -> None:
    group = journal.append([line("a", clock)])
    journal.close()
    journal.append([line("b", clock)])
    journal.confirm(group)
    assert told(journal.read()) == ["a?", "b?"]


def test_deletions_and_notes_are_told_in_their_order(journal: Journal, clock: Clock) -> None:
    journal.confirm(journal.append([line("a", clock)]))
    journal.append([note_line({"n": 1}, clock())])
    journal.append([deleted_line(ObjectRef("in", "a", "v", 1, "00"), clock())])
    assert told(journal.read()) == ["a", "note 1", "-a"]


def test_foreign_files_are_left_alone(journal: Journal, clock: Clock, tmp_path: Path) -> None:
    journal.append([line("a", clock)])
    (tmp_path / "README").write_text("x")
    (files(tmp_path)[0].parent / "backup.tar").write_bytes(b"x")
    (files(tmp_path)[0].parent / "imported.ndjson").write_bytes(line("z", clock) + b"\n")
    assert sorted(told(journal.read())) == ["a?", "z?"]


def test_reading_opens_only_files_that_overlap(journal: Journal, clock: Clock, tmp_path: Path) -> None:
    name = Versions(clock)
    (tmp_path / "2025-07-30").mkdir()
    for n in range(2000):
        (tmp_path / "2025-07-30" / f"{name()}.ndjson").write_bytes(line(str(n), clock) + b"\n")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 150, limits[1]))
    try:
        assert told(journal.read()) == [f"{n}?" for n in range(2000)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_reading_takes_bounded_memory(journal: Journal, clock: Clock) -> None:
    for _ in range(50):
        journal.confirm(journal.append([line("x" * 200, clock) for _ in range(200)]))
    tracemalloc.start()
    assert sum(1 for _ in journal.read()) == 10_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
