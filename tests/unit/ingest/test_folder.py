"""A watched folder: what is found there, when it is whole, and what becomes of the original."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from rig.drop import Drop
from wharfinger.errors import SourceError
from wharfinger.ingest.folder import ASIDE, Folder
from wharfinger.ingest.source import Found


@pytest.fixture
def drop(tmp_path: Path) -> Iterator[Drop]:
    with Drop(tmp_path) as drop:
        yield drop


def listed(folder: Folder) -> dict[str, Found]:
    return {found.name: found for found in folder.listing()}


def faults(folder: Folder) -> dict[str, str]:
    return {found.name: found.fault for found in folder.listing() if found.fault}


def a_folder(tmp_path: Path, **how: Any) -> Drop:
    return Drop(tmp_path, **how)


def test_files_are_found_in_every_directory_with_their_key(drop: Drop) -> None:
    drop.write("a.csv")
    drop.write("2026/11/b.csv", b"")
    found = listed(drop.folder)
    assert {name: each.key for name, each in found.items()} == {
        "a.csv": "acme/inbound/a.csv",
        "2026/11/b.csv": "acme/inbound/2026/11/b.csv",
    }
    assert found["2026/11/b.csv"].size == 0


def test_the_version_of_a_file_that_nobody_touches_stays_the_same(drop: Drop) -> None:
    drop.write("a.csv")
    before = listed(drop.folder)["a.csv"].version
    drop.anew()
    assert listed(drop.folder)["a.csv"].version == before


@pytest.mark.parametrize("change", ["append", "rewrite", "rename", "restore"])
def test_a_file_that_changed_has_another_version(change: str, drop: Drop) -> None:
    path = drop.write("a.csv", b"one")
    told, before = path.stat(), listed(drop.folder)["a.csv"].version
    time.sleep(0.02)
    match change:
        case "append":
            with path.open("ab") as file:
                file.write(b"more")
        case "rewrite":
            path.write_bytes(b"two")
        case "rename":
            drop.replace("a.csv", b"two")
        case "restore":  # the same time and size, as `cp -p` gives them
            drop.replace("a.csv", b"two")
            os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert listed(drop.folder)["a.csv"].version > before


def test_names_that_are_left_alone_are_not_found(drop: Drop) -> None:
    for name in ("a.tmp", "b.part", ".hidden", "c.filepart", ".git/config", ".wharf-x", "d~"):
        drop.write(name)
    assert listed(drop.folder) == {}


def test_what_is_no_file_is_told(drop: Drop, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (drop.path / "link").symlink_to(tmp_path / "secret")
    (drop.path / "folder").symlink_to(tmp_path)
    os.mkfifo(drop.path / "pipe")
    assert faults(drop.folder) == {
        "link": "is a symbolic link, which is not followed",
        "folder": "is a symbolic link, which is not followed",
        "pipe": "is no regular file",
    }


def test_names_that_no_key_can_have_are_told(drop: Drop) -> None:
    (drop.path / os.fsdecode(b"caf\xe9.csv")).write_bytes(b"")
    drop.write("back\\slash.csv")
    drop.write("bad\\folder/a.csv")
    told = faults(drop.folder)
    assert set(told.values()) == {"is not valid Unicode", "has a backslash"}
    assert "bad\\folder" in told


def test_a_directory_deeper_than_a_key_is_told_once(drop: Drop) -> None:
    deep = drop.path
    for _ in range(8):
        deep /= "d" * 200
        deep.mkdir()
    (told,) = faults(drop.folder).values()
    assert "at most 1024" in told


def test_a_link_in_place_of_a_directory_leads_nowhere(drop: Drop, tmp_path: Path) -> None:
    """Between the look and the reading, as somebody would who wants to see what is not theirs."""
    drop.write("sub/a.csv", b"mine")
    found = listed(drop.folder)["sub/a.csv"]
    (tmp_path / "elsewhere").mkdir()
    os.rename(drop.path / "sub", drop.path / "old")
    os.rename(drop.path / "old" / "a.csv", tmp_path / "elsewhere" / "a.csv")
    (drop.path / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError):
        list(drop.folder.read(found))
    with pytest.raises(SourceError):
        drop.folder.release(found, sha256(b"mine").hexdigest())
    assert (tmp_path / "elsewhere" / "a.csv").exists()


def test_a_folder_that_is_not_there_says_what_to_do(drop: Drop) -> None:
    drop.path.rmdir()
    with pytest.raises(SourceError, match="is not there") as caught:
        listed(drop.folder)
    assert caught.value.fix == f"mkdir -p {drop.path}"


def test_nothing_is_whole_that_changed_just_now(drop: Drop) -> None:
    drop.write("a.csv")
    drop.ahead = 0.0
    assert not drop.folder.is_whole(listed(drop.folder)["a.csv"])
    drop.later(0.1)
    assert drop.folder.is_whole(listed(drop.folder)["a.csv"])


def test_stable_is_what_did_not_change_between_looks(tmp_path: Path) -> None:
    with a_folder(tmp_path, complete="stable", stable_s=5.0) as drop:
        path = drop.write("a.csv")
        os.utime(path, (0, 0))  # however old its sender says it is
        assert not drop.folder.is_whole(listed(drop.folder)["a.csv"])
        drop.later(3)
        path.write_bytes(b"more data")
        assert not drop.folder.is_whole(listed(drop.folder)["a.csv"])
        drop.later(3)
        assert not drop.folder.is_whole(listed(drop.folder)["a.csv"])
        drop.later(3)
        assert drop.folder.is_whole(listed(drop.folder)["a.csv"])


def test_a_marker_makes_a_file_whole_and_is_none_itself(tmp_path: Path) -> None:
    with a_folder(tmp_path, complete="marker") as drop:
        drop.write("a.csv")
        assert not drop.folder.is_whole(listed(drop.folder)["a.csv"])
        drop.write("a.csv.done", b"")
        found = listed(drop.folder)
        assert set(found) == {"a.csv"}
        assert drop.folder.is_whole(found["a.csv"])


def test_a_marker_that_is_older_than_its_file_does_not_count(tmp_path: Path) -> None:
    with a_folder(tmp_path, complete="marker") as drop:
        drop.write("a.csv.ready", b"")
        time.sleep(0.02)
        drop.write("a.csv")
        assert not drop.folder.is_whole(listed(drop.folder)["a.csv"])


@pytest.mark.parametrize("lock", [fcntl.flock, fcntl.lockf])
def test_a_locked_file_is_not_whole(lock: Any, tmp_path: Path) -> None:
    with a_folder(tmp_path, complete="lock") as drop:
        path = drop.write("a.csv")
        pid = os.fork()  # fcntl's locks are of a process
        if not pid:
            with path.open("r+b") as file:
                lock(file, fcntl.LOCK_EX)
                (drop.path / ".locked").touch()
                time.sleep(30)
            os._exit(0)
        while not (drop.path / ".locked").exists():
            time.sleep(0.005)
        assert not drop.folder.is_whole(listed(drop.folder)["a.csv"])
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        assert drop.folder.is_whole(listed(drop.folder)["a.csv"])


def test_a_file_that_changes_while_it_is_read_is_refused(drop: Drop) -> None:
    path = drop.write("a.csv", b"x" * (3 << 20))
    pieces = drop.folder.read(listed(drop.folder)["a.csv"])
    next(pieces)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceError) as caught:
        list(pieces)
    assert caught.value.code == "CHANGED"


def test_a_file_that_was_replaced_before_it_is_read_is_refused(drop: Drop) -> None:
    drop.write("a.csv", b"one")
    found = listed(drop.folder)["a.csv"]
    drop.replace("a.csv", b"two")
    with pytest.raises(SourceError) as caught:
        list(drop.folder.read(found))
    assert caught.value.code == "CHANGED"


def test_an_original_in_custody_is_removed_and_no_trace_stays(drop: Drop) -> None:
    drop.write("sub/a.csv", b"one")
    drop.folder.release(listed(drop.folder)["sub/a.csv"], sha256(b"one").hexdigest())
    assert os.listdir(drop.path / "sub") == []


def test_a_file_that_took_the_place_of_the_original_stays(drop: Drop) -> None:
    drop.write("a.csv", b"one")
    found = listed(drop.folder)["a.csv"]
    drop.replace("a.csv", b"two")
    drop.folder.release(found, sha256(b"one").hexdigest())
    assert (drop.path / "a.csv").read_bytes() == b"two"
    assert drop.left() == ["a.csv"]


def test_an_original_that_is_gone_is_no_error(drop: Drop) -> None:
    found = listed_after_removal(drop)
    drop.folder.release(found, sha256(b"data").hexdigest())
    assert drop.left() == []


def listed_after_removal(drop: Drop) -> Found:
    path = drop.write("a.csv")
    found = listed(drop.folder)["a.csv"]
    path.unlink()
    return found


def aside(drop: Drop, data: bytes, *, name: str = "a.csv") -> Found:
    """What a crash left: an original that was moved aside."""
    drop.write(name, data)
    version = listed(drop.folder)[name].version
    box = drop.path / f"{ASIDE}{version}"
    box.mkdir()
    os.rename(drop.path / name, box / name)
    found = listed(drop.folder)[name]
    assert (found.is_aside, found.version) == (True, version)
    return found


def test_an_original_that_a_crash_left_aside_is_removed(drop: Drop) -> None:
    drop.folder.release(aside(drop, b"one"), sha256(b"one").hexdigest())
    assert os.listdir(drop.path) == []


def test_other_bytes_that_a_crash_left_aside_go_back(drop: Drop) -> None:
    drop.folder.release(aside(drop, b"two"), sha256(b"one").hexdigest())
    assert (drop.path / "a.csv").read_bytes() == b"two"
    assert os.listdir(drop.path) == ["a.csv"]


def test_other_bytes_aside_stay_there_where_a_third_file_has_the_name(drop: Drop) -> None:
    found = aside(drop, b"two")
    drop.write("a.csv", b"three")
    with pytest.raises(SourceError) as caught:
        drop.folder.release(found, sha256(b"one").hexdigest())
    assert caught.value.code == "NAME_TAKEN"
    assert sorted(path.read_bytes() for path in drop.path.rglob("a.csv")) == [b"three", b"two"]


def test_an_empty_directory_that_a_crash_left_is_removed(drop: Drop) -> None:
    (drop.path / f"{ASIDE}01K1F9Z0000000000000000000").mkdir()
    assert listed(drop.folder) == {}
    assert os.listdir(drop.path) == []


@pytest.mark.parametrize("inside", [True, False])
def test_originals_can_be_moved_elsewhere(inside: bool, tmp_path: Path) -> None:
    taken = tmp_path / ("drop/taken" if inside else "taken")
    with a_folder(tmp_path, original="move", move_to=taken) as drop:
        for data in (b"one", b"two"):
            drop.write("sub/a.csv", data)
            found = listed(drop.folder)
            assert set(found) == {"sub/a.csv"}
            drop.folder.release(found["sub/a.csv"], sha256(data).hexdigest())
        version = found["sub/a.csv"].version
        assert {path.name: path.read_bytes() for path in (taken / "sub").iterdir()} == {
            "a.csv": b"one",
            f"a.csv.{version}": b"two",
        }
        assert listed(drop.folder) == {}


def test_a_move_that_a_crash_cut_off_leaves_one_file(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    with a_folder(tmp_path, original="move", move_to=taken) as drop:
        found = aside(drop, b"one")
        taken.mkdir()
        os.link(drop.path / f"{ASIDE}{found.version}" / "a.csv", taken / "a.csv")
        drop.folder.release(found, sha256(b"one").hexdigest())
        assert [path.name for path in taken.iterdir()] == ["a.csv"]
        assert os.listdir(drop.path) == []


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second filesystem here")
def test_originals_can_be_moved_to_another_filesystem(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    taken = Path("/dev/shm") / f"wharf-test-{os.getpid()}"
    if os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("no second filesystem here")
    try:
        with a_folder(tmp_path, original="move", move_to=taken) as drop:
            drop.write("sub/a.csv", b"one")
            drop.folder.release(listed(drop.folder)["sub/a.csv"], sha256(b"one").hexdigest())
            assert [path.name for path in (taken / "sub").iterdir()] == ["a.csv"]
            assert (taken / "sub" / "a.csv").read_bytes() == b"one"
            assert drop.left() == []
    finally:
        for path in [*taken.rglob("*"), *taken.glob("sub/*")]:
            path.unlink(missing_ok=True) if path.is_file() else None
        if taken.exists():
            (taken / "sub").rmdir()
            taken.rmdir()


def test_a_marker_goes_with_its_file(tmp_path: Path) -> None:
    with a_folder(tmp_path, complete="marker") as drop:
        drop.write("a.csv", b"one")
        drop.write("a.csv.done", b"")
        drop.folder.release(listed(drop.folder)["a.csv"], sha256(b"one").hexdigest())
        assert os.listdir(drop.path) == []
