from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from wharfinger.errors import NoSpace
from wharfinger.store import disk


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "NO_SPACE"),
        (errno.EDQUOT, "NO_SPACE"),
        (errno.EIO, "DISK_FAILED"),
        (errno.EACCES, "NOT_PERMITTED"),
        (errno.EROFS, "NOT_PERMITTED"),
        (errno.EMFILE, "STORE_FAILED"),
    ],
)
def test_a_refusal_says_what_was_tried_and_why(number: int, code: str) -> None:
    cause = OSError(number, os.strerror(number))
    error = disk.refusal(cause, "a could not be written")
    assert error.code == code
    assert str(error) == f"a could not be written: {os.strerror(number)}"
    assert error.__cause__ is cause
    assert isinstance(error, NoSpace) == (code == "NO_SPACE")


def test_a_crew_answers_in_the_order_of_the_items() -> None:
    crew = disk.Crew(4)
    assert crew.each(lambda n: n * n, range(100)) == [n * n for n in range(100)]
    assert crew.each(lambda n: n, []) == []
    crew.close()


def test_a_crew_works_on_several_items_at_once() -> None:
    crew = disk.Crew(4)
    meeting = threading.Barrier(4, timeout=10)
    crew.each(lambda _: meeting.wait(), range(4))
    crew.close()


def test_a_crew_passes_on_what_a_job_raises() -> None:
    crew = disk.Crew(2)
    with pytest.raises(ZeroDivisionError):
        crew.each(lambda n: 1 // n, [3, 2, 1, 0])
    crew.close()


@pytest.mark.parametrize("renames", [True, False], ids=["renameat2", "link"])
def test_moving_never_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: bool) -> None:
    if not renames:
        monkeypatch.setattr(disk, "_rename", None)
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("a")
    disk.move(str(a), str(b))
    assert (a.exists(), b.read_text()) == (False, "a")
    a.write_text("other")
    with pytest.raises(FileExistsError):
        disk.move(str(a), str(b))
    assert (a.read_text(), b.read_text()) == ("other", "a")
    with pytest.raises(FileNotFoundError):
        disk.move(str(tmp_path / "missing"), str(tmp_path / "c"))


@pytest.mark.parametrize("in_kernel", [True, False])
def test_a_range_is_copied_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_kernel: bool) -> None:
    def refuse(*args: object) -> int:
        raise OSError(errno.EXDEV, "no")

    if not in_kernel:
        monkeypatch.setattr(os, "copy_file_range", refuse)
    data = os.urandom(3 << 20)
    (tmp_path / "source").write_bytes(data)
    (tmp_path / "target").write_bytes(bytes(len(data)))
    with (tmp_path / "source").open("rb") as source, (tmp_path / "target").open("r+b") as target:
        disk.copy_range(source.fileno(), target.fileno(), 5, len(data) + 100)
    assert (tmp_path / "target").read_bytes() == bytes(5) + data[5:]


def test_directories_are_made_below_a_root_and_may_be_there(tmp_path: Path) -> None:
    for _ in range(2):
        disk.make_directories(f"{tmp_path}/a/b/c", below=str(tmp_path))
    assert (tmp_path / "a/b/c").is_dir()


# -- secrets


def test_a_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    secret = tmp_path / "new" / "secret"
    disk.make_secret(str(secret), lambda: b"first")
    disk.make_secret(str(secret), lambda: b"second")
    assert (secret.read_bytes(), secret.stat().st_mode & 0o777) == (b"first", 0o600)


def test_nobody_uses_a_secret_that_its_maker_has_not_made_durable(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"named a moment ago")
    other = threading.Thread(target=disk.make_secret, args=(str(secret), lambda: b"another"))
    with disk.alone(str(tmp_path)):
        other.start()
        other.join(0.2)
        assert other.is_alive()
    other.join(10)
    assert (other.is_alive(), secret.read_bytes()) == (False, b"named a moment ago")


def test_a_leftover_that_all_may_read_makes_no_secret_that_all_may_read(tmp_path: Path) -> None:
    leftover = tmp_path / "secret.new"
    leftover.write_bytes(b"x" * 100)
    leftover.chmod(0o644)
    disk.replace_secret(str(tmp_path / "secret"), b"new")
    made = tmp_path / "secret"
    assert (made.read_bytes(), made.stat().st_mode & 0o777) == (b"new", 0o600)


def test_a_secret_is_not_written_where_a_link_leads(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"as it was")
    (tmp_path / "secret.new").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        disk.replace_secret(str(tmp_path / "secret"), b"new")
    assert (victim.read_bytes(), (tmp_path / "secret").exists()) == (b"as it was", False)
