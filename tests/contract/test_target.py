"""What every Target promises. A further backend is one more line in `TARGETS`."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rig import buckets, ceph
from wharfinger.errors import Corrupt, NotFound, StoreError, Transient
from wharfinger.model import Delivered, ObjectRef
from wharfinger.store import Delivery, Put, Store, Target
from wharfinger.store.bucket import BucketTarget
from wharfinger.store.directory import DirectoryTarget
from wharfinger.store.local import LocalStore
from wharfinger.store.versions import Versions

fresh_version = Versions()
count = itertools.count()


@dataclass
class Place:
    """A target, and how to read what lies there."""

    store: Store
    target: Target
    read: Callable[[str], bytes | None]
    effects: Callable[[], object]  # what is visible, each as the one that it is


def a_bucket(store: Store, root: Path) -> Place:
    def read(key: str) -> bytes | None:
        found = [each.ref for each in store.list("out", f"lake/{key}") if each.ref.key == f"lake/{key}"]
        if not found:
            return None
        with store.open(found[-1]) as file:
            return file.read()

    def effects() -> object:
        return [*store.list("out")]

    return Place(store, BucketTarget(store, "there", "out", "lake/"), read, effects)


def a_directory(store: Store, root: Path) -> Place:
    directory = root / "out"
    directory.mkdir()

    def read(key: str) -> bytes | None:
        path = directory / "lake" / key
        return path.read_bytes() if path.exists() else None

    def effects() -> object:
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (directory / "lake").iterdir()}

    return Place(store, DirectoryTarget(store, "there", directory, "lake/"), read, effects)


TARGETS: dict[str, Callable[[Store, Path], Place]] = {
    "bucket": a_bucket,
    "directory": a_directory,
}


STORES: dict[str, Callable[[Path], Store]] = {
    "local": lambda root: LocalStore(root / "store"),
    "s3": buckets.a_store,
    "radosgw": ceph.a_store,
}


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> Callable[[Store, Path], Place]:
    return TARGETS[request.param]


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, target: Callable[[Store, Path], Place], tmp_path: Path) -> Place:
    return target(STORES[request.param](tmp_path), tmp_path)


def an_object(store: Store, data: bytes) -> ObjectRef:
    path = store.scratch() / "staged"
    path.write_bytes(data)
    ref = ObjectRef("in", f"{next(count)}", fresh_version(), len(data), hashlib.sha256(data).hexdigest())
    assert store.put([Put(ref, path)]) == [None]
    return ref


def a_file(store: Store, data: bytes) -> Path:
    path = store.scratch() / "output"
    path.write_bytes(data)
    return path


def a_delivery(
    place: Place, key: str, data: bytes = b"bytes", *, source: str = "object", version: str = ""
) -> Delivery:
    made = an_object(place.store, data) if source == "object" else a_file(place.store, data)
    return Delivery(made, key, version or fresh_version(), len(data), hashlib.sha256(data).hexdigest(), {"run": "1"})


@pytest.mark.parametrize("source", ["object", "file"])
@pytest.mark.parametrize("data", [b"", b"bytes", b"0123456789" * 300_000], ids=["empty", "small", "large"])
def test_a_delivery_is_visible_under_its_name(place: Place, source: str, data: bytes) -> None:
    delivery = a_delivery(place, "a/b.csv", data, source=source)
    (delivered,) = place.target.deliver([delivery])
    assert isinstance(delivered, Delivered)
    assert place.read("a/b.csv") == data
    assert place.target.head("a/b.csv") == len(data)
    assert (delivered.destination, delivered.key, delivered.version) == ("there", "lake/a/b.csv", delivery.version)
    assert (delivered.size, delivered.sha256) == (delivery.size, delivery.sha256)


def test_a_file_in_scratch_is_left_where_it_is(place: Place) -> None:
    delivery = a_delivery(place, "a", source="file")
    place.target.deliver([delivery])
    assert isinstance(delivery.source, Path)
    assert delivery.source.read_bytes() == b"bytes"


@pytest.mark.parametrize("source", ["object", "file"])
def test_delivering_again_changes_nothing(place: Place, source: str) -> None:
    delivery = a_delivery(place, "a", source=source)
    first, effects = place.target.deliver([delivery]), place.effects()
    again = place.target.deliver([delivery, delivery])
    assert all(isinstance(each, Delivered) for each in (*first, *again))
    assert place.read("a") == b"bytes"
    assert place.effects() == effects


def test_other_bytes_under_the_name_are_replaced(place: Place) -> None:
    place.target.deliver([a_delivery(place, "a", b"old")])
    (delivered,) = place.target.deliver([a_delivery(place, "a", b"newer")])
    assert isinstance(delivered, Delivered)
    assert place.read("a") == b"newer"
    assert place.target.head("a") == 5


@pytest.mark.parametrize("source", ["object", "file"])
def test_bytes_that_are_not_those_meant_are_refused_alone(place: Place, source: str) -> None:
    good, wrong = a_delivery(place, "good", source=source), a_delivery(place, "wrong", source=source)
    wrong = Delivery(wrong.source, wrong.key, wrong.version, wrong.size, "0" * 64)
    first, error = place.target.deliver([good, wrong])
    assert isinstance(first, Delivered)
    assert isinstance(error, Corrupt)
    assert place.read("wrong") is None


def test_a_source_that_is_not_there_is_refused_alone(place: Place) -> None:
    good, gone = a_delivery(place, "good"), a_delivery(place, "gone")
    assert isinstance(gone.source, ObjectRef)
    place.store.delete([gone.source])
    first, error = place.target.deliver([good, gone])
    assert isinstance(first, Delivered)
    assert isinstance(error, NotFound)
    assert place.read("gone") is None


def test_a_group_goes_to_many_folders(place: Place) -> None:
    deliveries = [a_delivery(place, f"{n % 3}/{n % 2}/{n}", b"%d" % n) for n in range(20)]
    assert all(isinstance(each, Delivered) for each in place.target.deliver(deliveries))
    assert [place.read(each.key) for each in deliveries] == [b"%d" % n for n in range(20)]


def test_an_empty_group_does_nothing(place: Place) -> None:
    assert place.target.deliver([]) == []


def test_nothing_lies_under_a_name_that_was_never_delivered(place: Place) -> None:
    assert place.target.head("a") is None
    assert place.target.head("no/such/folder/a") is None


# -- listing


def test_what_lies_there_is_listed_with_its_digest(place: Place) -> None:
    deliveries = [a_delivery(place, "a"), a_delivery(place, "deep/er/b", b"others")]
    delivered = [each for each in place.target.deliver(deliveries) if isinstance(each, Delivered)]
    found = {each.key: each for each in place.target.listing()}
    assert set(found) == {each.key for each in delivered} == {"lake/a", "lake/deep/er/b"}
    for each in delivered:
        lying = found[each.key]
        assert (lying.size, place.target.digest(lying)) == (each.size, each.sha256)
        assert lying.version in ("", each.version)
        assert abs(lying.at - each.at) < 60


def test_what_is_gone_is_not_listed(place: Place) -> None:
    assert [*place.target.listing()] == []


def test_a_directory_that_cannot_be_looked_at_is_an_error_and_what_is_gone_is_none(tmp_path: Path) -> None:
    (tmp_path / "out/lake/folder").mkdir(parents=True)
    for name in ("a", "b", "folder/c"):
        (tmp_path / "out/lake" / name).write_bytes(b"12")
    store = LocalStore(tmp_path / "store")
    target = DirectoryTarget(store, "there", tmp_path / "out", "lake/")
    found = target.listing()
    gone = next(found)
    for path in (tmp_path / "out/lake").glob("[ab]"):
        path.unlink()
    shutil.rmtree(tmp_path / "out/lake/folder")
    (tmp_path / "out/lake/folder").write_bytes(b"a file now")
    assert ([*found], target.digest(gone)) == ([], None)
    assert target.digest(replace(gone, key="lake/folder/c")) is None
    far_down(tmp_path / "out/lake")
    with pytest.raises(StoreError, match="could not be looked at"):
        [*target.listing()]
    shutil.rmtree(tmp_path / "out")
    store.close()


def far_down(folder: Path) -> None:
    """Put a file where its path is longer than the system takes."""
    fd, room = os.open(folder, os.O_RDONLY), os.pathconf(folder, "PC_PATH_MAX") - len(str(folder))
    for _ in range(room // 201):
        os.mkdir("d" * 200, dir_fd=fd)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("f" * 250, os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


def test_a_directory_lists_what_others_put_there_but_nothing_of_ours_and_no_links(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    (directory / "lake/sub").mkdir(parents=True)
    for name in ("lake/a", "lake/sub/b", "lake/.wharf-ID-0000", "sea/c", "lakes"):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_bytes(b"12")
    (directory / "lake/link").symlink_to(directory / "sea/c")
    os.mkfifo(directory / "lake/pipe")
    store = LocalStore(tmp_path / "store")
    target = DirectoryTarget(store, "there", directory, "lake/")
    found = {each.key: each for each in target.listing()}
    assert set(found) == {"lake/a", "lake/sub/b"}
    assert target.digest(found["lake/a"]) == hashlib.sha256(b"12").hexdigest()
    (directory / "lake/a").unlink()
    assert target.digest(found["lake/a"]) is None
    shutil.rmtree(directory)
    with pytest.raises(Transient, match="cannot be used"):
        next(target.listing())
    store.close()
