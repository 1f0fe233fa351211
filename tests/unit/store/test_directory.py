from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from wharfinger.errors import NameRefused, StoreError, Transient
from wharfinger.model import Delivered, derive
from wharfinger.store import Delivery, names
from wharfinger.store.directory import STALE_S, DirectoryTarget
from wharfinger.store.local import LocalStore
from wharfinger.store.versions import Versions

fresh_version = Versions()


class Clock:
    now = 1_753_900_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def target(store: LocalStore, out: Path, clock: Clock) -> DirectoryTarget:
    return DirectoryTarget(store, "outgoing", out, clock=clock)


def a_delivery(store: LocalStore, key: str, data: bytes = b"bytes", version: str = "") -> Delivery:
    path = store.scratch() / "output"
    path.write_bytes(data)
    return Delivery(path, key, version or fresh_version(), len(data), sha256(data).hexdigest())


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_the_same_bytes_are_left_untouched(store: LocalStore, target: DirectoryTarget, out: Path) -> None:
    (out / "a").write_bytes(b"bytes")
    os.utime(out / "a", (1, 1))
    before = (out / "a").stat()
    (answer,) = target.deliver([a_delivery(store, "a")])
    assert isinstance(answer, Delivered)
    assert ((out / "a").stat().st_ino, (out / "a").stat().st_mtime) == (before.st_ino, 1)


def test_other_bytes_are_replaced_by_a_new_file(store: LocalStore, target: DirectoryTarget, out: Path) -> None:
    (out / "a").write_bytes(b"BYTES")
    with (out / "a").open("rb") as reader:
        target.deliver([a_delivery(store, "a")])
        assert reader.read() == b"BYTES"
    assert (out / "a").read_bytes() == b"bytes"


def test_nothing_but_the_delivered_names_is_left(store: LocalStore, target: DirectoryTarget, out: Path) -> None:
    target.deliver([a_delivery(store, "a"), a_delivery(store, "b/c"), a_delivery(store, "b/c")])
    assert everything(out) == ["a", "b", "b/c"]


def test_files_and_folders_have_the_usual_permissions(store: LocalStore, target: DirectoryTarget, out: Path) -> None:
    before = os.umask(0o027)
    try:
        target.deliver([a_delivery(store, "a/b")])
    finally:
        os.umask(before)
    assert stat.S_IMODE((out / "a/b").stat().st_mode) == 0o640
    assert stat.S_IMODE((out / "a").stat().st_mode) == 0o750


@pytest.mark.parametrize("key", ["../a", "/a", "a/../../b", "a\\b", "a\0b", "x" * 256, "", ".wharf-x"])
def test_a_dangerous_name_is_refused_alone(store: LocalStore, target: DirectoryTarget, out: Path, key: str) -> None:
    error, good = target.deliver([a_delivery(store, key), a_delivery(store, "good")])
    assert isinstance(error, NameRefused)
    assert isinstance(good, Delivered)
    assert everything(out) == ["good"]
    with pytest.raises(NameRefused):
        target.head(key)


def test_the_prefix_is_checked_with_the_key(store: LocalStore, out: Path) -> None:
    (error,) = DirectoryTarget(store, "outgoing", out, "../").deliver([a_delivery(store, "a")])
    assert isinstance(error, NameRefused)


def test_no_symbolic_link_leads_out_of_the_directory(store: LocalStore, target: DirectoryTarget, out: Path) -> None:
    elsewhere = out.parent / "elsewhere"
    elsewhere.mkdir()
    (out / "link").symlink_to(elsewhere)
    error, good = target.deliver([a_delivery(store, "link/a"), a_delivery(store, "b")])
    assert isinstance(error, StoreError)
    assert not isinstance(error, NameRefused)  # the destination is at fault, not the file
    assert error.code == "NAME_TAKEN"
    assert isinstance(good, Delivered)
    assert everything(elsewhere) == []
    with pytest.raises(StoreError, match="no folder"):
        target.head("link/a")


def test_a_symbolic_link_under_the_name_is_replaced_and_not_followed(
    store: LocalStore, target: DirectoryTarget, out: Path
) -> None:
    secret = out.parent / "secret"
    secret.write_bytes(b"bytes")
    (out / "a").symlink_to(secret)
    assert target.head("a") is None
    target.deliver([a_delivery(store, "a", b"other")])
    assert secret.read_bytes() == b"bytes"
    assert not (out / "a").is_symlink()
    assert (out / "a").read_bytes() == b"other"


def test_a_folder_under_the_name_is_refused(store: LocalStore, target: DirectoryTarget, out: Path) -> None:
    (out / "a").mkdir()
    error, good = target.deliver([a_delivery(store, "a"), a_delivery(store, "b")])
    assert isinstance(error, StoreError)
    assert error.code == "NAME_TAKEN"
    assert isinstance(good, Delivered)
    assert everything(out) == ["a", "b"]


def test_a_file_in_place_of_a_folder_is_refused(store: LocalStore, target: DirectoryTarget, out: Path) -> None:
    (out / "a").write_bytes(b"")
    (error,) = target.deliver([a_delivery(store, "a/b")])
    assert isinstance(error, StoreError)
    assert not isinstance(error, NameRefused)  # the destination is at fault, not the file
    assert error.code == "NAME_TAKEN"


def test_a_pipe_under_the_name_is_replaced_without_waiting(
    store: LocalStore, target: DirectoryTarget, out: Path
) -> None:
    os.mkfifo(out / "a")
    target.deliver([a_delivery(store, "a", b"")])
    assert (out / "a").is_file()


def test_a_directory_that_is_not_there_may_come_back(store: LocalStore, target: DirectoryTarget, out: Path) -> None:
    out.rmdir()
    deliveries = [a_delivery(store, "a"), a_delivery(store, "b")]
    errors = target.deliver(deliveries)
    assert all(isinstance(error, Transient) and "mkdir -p" in error.fix for error in errors)
    with pytest.raises(Transient):
        target.head("a")
    out.mkdir()
    assert all(isinstance(each, Delivered) for each in target.deliver(deliveries))


def test_a_folder_that_was_removed_is_made_again(store: LocalStore, target: DirectoryTarget, out: Path) -> None:
    target.deliver([a_delivery(store, "a/b")])
    (out / "a/b").unlink()
    (out / "a").rmdir()
    assert isinstance(target.deliver([a_delivery(store, "a/b")])[0], Delivered)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_says_what_to_do(store: LocalStore, target: DirectoryTarget, out: Path) -> None:
    out.chmod(0o500)
    (error,) = target.deliver([a_delivery(store, "a")])
    assert isinstance(error, StoreError)
    assert error.code == "NOT_PERMITTED"
    out.chmod(0o700)


def test_leftovers_of_the_same_delivery_are_removed_at_once(store: LocalStore, out: Path, clock: Clock) -> None:
    delivery = a_delivery(store, "a")
    (out / f"{names.OURS}{derive(delivery.version, 'outgoing', 'a')}-0badf00d").write_bytes(b"byt")
    DirectoryTarget(store, "outgoing", out, clock=clock).deliver([delivery])
    assert everything(out) == ["a"]


def test_leftovers_of_others_are_removed_when_they_are_stale(store: LocalStore, out: Path, clock: Clock) -> None:
    stale, young, foreign = out / f"{names.OURS}1", out / f"{names.OURS}2", out / ".hidden"
    for path, age in ((stale, STALE_S + 1), (young, STALE_S - 1), (foreign, STALE_S * 9)):
        path.write_bytes(b"")
        os.utime(path, (clock.now - age, clock.now - age))
    target = DirectoryTarget(store, "outgoing", out, clock=clock)
    target.deliver([a_delivery(store, "a")])
    assert everything(out) == [".hidden", young.name, "a"]
    clock.now += STALE_S
    target.deliver([a_delivery(store, "b")])
    assert everything(out) == [".hidden", "a", "b"]
