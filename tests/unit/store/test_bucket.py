from __future__ import annotations

import errno
import os
from hashlib import sha256
from pathlib import Path

import pytest

from wharfinger.model import Delivered, ObjectRef
from wharfinger.store import Delivery, Put
from wharfinger.store.bucket import BucketTarget
from wharfinger.store.local import LocalStore

VERSION = "01K1F9ZAAAAAAAAAAAAAAAAAAA"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def objects(store: LocalStore) -> list[Path]:
    return [path for path in (store.root / "objects").rglob("*") if path.is_file()]


def delivered_file(store: LocalStore, data: bytes) -> Path:
    path = store.scratch() / "output"
    path.write_bytes(data)
    delivery = Delivery(path, "a", VERSION, len(data), sha256(data).hexdigest())
    (answer,) = BucketTarget(store, "lake", "lake").deliver([delivery])
    assert isinstance(answer, Delivered)
    assert (answer.bucket, answer.key, answer.version) == ("lake", "a", VERSION)
    return path


def test_an_object_and_its_delivery_are_one_file_on_disk(store: LocalStore) -> None:
    path = store.scratch() / "staged"
    path.write_bytes(b"bytes")
    ref = ObjectRef("in", "a", VERSION, 5, sha256(b"bytes").hexdigest())
    store.put([Put(ref, path)])
    BucketTarget(store, "lake", "lake").deliver([Delivery(ref, "a", VERSION, ref.size, ref.sha256)])
    first, second = objects(store)
    assert first.samefile(second)


@pytest.mark.parametrize("number", [errno.EMLINK, errno.EXDEV, errno.EPERM])
def test_bytes_are_copied_where_links_are_refused(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    path = delivered_file(store, b"bytes")
    (placed,) = objects(store)
    assert not placed.samefile(path)
    ref = ObjectRef("lake", "a", VERSION, 5, sha256(b"bytes").hexdigest())
    BucketTarget(store, "copy", "copy").deliver([Delivery(ref, "a", VERSION, ref.size, ref.sha256)])
    assert [path.read_bytes() for path in objects(store)] == [b"bytes", b"bytes"]
    assert list((store.root / "staging").iterdir()) == []
    assert list(store.verify()) == []


def test_nothing_is_left_in_scratch(store: LocalStore) -> None:
    path = delivered_file(store, b"bytes")
    assert list((store.root / "scratch").iterdir()) == [path.parent]


def test_what_landed_in_the_bucket_was_not_delivered_there(store: LocalStore) -> None:
    path = store.scratch() / "staged"
    path.write_bytes(b"bytes")
    landed = ObjectRef("lake", "acme/a", "01K1F9ZBBBBBBBBBBBBBBBBBBB", 5, sha256(b"bytes").hexdigest())
    store.put([Put(landed, path, {"file_id": "F", "customer": "acme"})])
    delivered_file(store, b"others")
    assert [each.key for each in BucketTarget(store, "lake", "lake").listing()] == ["a"]
