from __future__ import annotations

import hashlib
import itertools
import time
from pathlib import Path

import pytest

from wharfinger.model import ObjectRef
from wharfinger.store import Copy, Put
from wharfinger.store.local import LocalStore
from wharfinger.store.versions import Versions

fresh_version = Versions()
count = itertools.count()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def kept(store: LocalStore, data: bytes = b"bytes") -> ObjectRef:
    path = store.scratch() / "staged"
    path.write_bytes(data)
    ref = ObjectRef("in", f"{next(count)}", fresh_version(), len(data), hashlib.sha256(data).hexdigest())
    assert store.put([Put(ref, path)]) == [None]
    return ref


def file_of(store: LocalStore, ref: ObjectRef) -> Path:
    return Path(store._place(ref))


def found(store: LocalStore) -> list[tuple[str, ObjectRef | None]]:
    return [(problem.kind, problem.ref) for problem in store.verify()]


def test_a_sound_store_has_no_problems(store: LocalStore) -> None:
    first = kept(store)
    kept(store, b"")
    store.copy([Copy(first, ObjectRef("out", "a", fresh_version(), first.size, first.sha256))])
    store.delete([kept(store)])
    assert found(store) == []


def test_a_lost_object_is_missing(store: LocalStore) -> None:
    kept(store)
    lost = kept(store)
    file_of(store, lost).unlink()
    assert found(store) == [("missing", lost)]


def test_a_deleted_object_is_not_missing(store: LocalStore) -> None:
    ref = kept(store)
    store.delete([ref])
    assert found(store) == []


def test_a_deletion_by_a_clock_that_went_back_is_no_loss(store: LocalStore) -> None:
    ref = kept(store)
    an_hour_ago = LocalStore(store.root, clock=lambda: time.time() - 3600)
    an_hour_ago.delete([ref])
    an_hour_ago.close()
    assert found(store) == []


def test_what_was_kept_again_after_its_deletion_and_is_lost_is_missing(store: LocalStore) -> None:
    ref = kept(store)
    an_hour_ago = LocalStore(store.root, clock=lambda: time.time() - 3600)
    an_hour_ago.delete([ref])
    an_hour_ago.close()
    path = store.scratch() / "staged"
    path.write_bytes(b"bytes")
    assert store.put([Put(ref, path)]) == [None]
    file_of(store, ref).unlink()
    assert found(store) == [("missing", ref)]


def test_an_object_put_again_after_its_loss_is_not_missing(store: LocalStore) -> None:
    ref = kept(store)
    file_of(store, ref).unlink()
    path = store.scratch() / "staged"
    path.write_bytes(b"bytes")
    store.put([Put(ref, path)])
    assert found(store) == []


def test_changed_bytes_are_found(store: LocalStore) -> None:
    longer, other = kept(store), kept(store)
    file_of(store, longer).write_bytes(b"bytes and more")
    file_of(store, other).write_bytes(b"BYTES")
    assert found(store) == [("size", longer), ("sha256", other)]


def test_a_file_without_a_line_is_stray(store: LocalStore) -> None:
    stray = file_of(store, kept(store)).with_name("stray")
    stray.write_bytes(b"x")
    deep = store.root / "objects" / "x" / "y"
    deep.parent.mkdir()
    deep.write_bytes(b"x")
    assert [(problem.kind, problem.path) for problem in store.verify()] == [
        ("stray", str(path)) for path in sorted((stray, deep))
    ]


def test_a_put_that_was_cut_off_is_no_problem(store: LocalStore) -> None:
    ref = kept(store)
    file_of(store, ref).unlink()
    (page,) = (store.root / "journal").glob("*/*")
    page.write_bytes(page.read_bytes().splitlines(keepends=True)[0])
    assert found(store) == []


def test_a_refused_put_is_no_problem(store: LocalStore) -> None:
    good = kept(store)
    (error,) = store.put([Put(ObjectRef("in", "gone", fresh_version(), 1, "00"), store.root / "scratch" / "gone")])
    assert error is not None
    assert found(store) == []
    assert [each.ref for each in store.list()] == [good]


def test_a_damaged_line_is_reported_with_the_object_it_described(store: LocalStore) -> None:
    lost_line, other = kept(store), kept(store)
    (page,) = (store.root / "journal").glob("*/*")
    page.write_bytes(page.read_bytes().replace(b'{"bucket"', b'{"bucke', 1))
    assert found(store) == [("journal", None), ("stray", None)]
    assert [each.ref for each in store.list()] == [other]
    assert store.head([lost_line]) == [5]


def test_progress_counts_objects_and_bytes(store: LocalStore) -> None:
    for _ in range(3):
        kept(store, b"bytes")
    seen: list[tuple[int, int]] = []
    assert list(store.verify(lambda *done: seen.append(done))) == []
    assert seen == [(1, 5), (2, 10), (3, 15)]
