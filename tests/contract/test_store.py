"""What every Store promises. A further backend is one more line in `STORES`."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from rig import buckets, ceph
from wharfinger.errors import Corrupt, NotFound
from wharfinger.model import ObjectRef
from wharfinger.store import Copy, Put, Store
from wharfinger.store.local import LocalStore
from wharfinger.store.versions import Versions

STORES: dict[str, Callable[[Path], Store]] = {
    "local": lambda root: LocalStore(root / "store"),
    "s3": buckets.a_store,
    "radosgw": ceph.a_store,
}

fresh_version = Versions()
count = itertools.count()


@pytest.fixture(params=STORES)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Opens the same store again, as another process would."""
    return lambda: STORES[request.param](tmp_path)


@pytest.fixture
def store(reopen: Callable[[], Store]) -> Store:
    return reopen()


def a_put(store: Store, data: bytes = b"bytes", *, bucket: str = "in", key: str = "", version: str = "") -> Put:
    path = store.scratch() / "staged"
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    ref = ObjectRef(bucket, key or f"customer1/{next(count)}", version or fresh_version(), len(data), sha256)
    return Put(ref, path, {"customer": "customer1"})


def kept(store: Store, data: bytes = b"bytes", **where: str) -> ObjectRef:
    put = a_put(store, data, **where)
    assert store.put([put]) == [None]
    return put.ref


def content(store: Store, ref: ObjectRef) -> bytes:
    with store.open(ref) as file:
        return file.read()


def listed(store: Store, *args: str) -> list[ObjectRef]:
    return [each.ref for each in store.list(*args)]


def test_a_kept_object_has_its_bytes(store: Store) -> None:
    ref = kept(store, b"a,b\n1,2\n")
    assert content(store, ref) == b"a,b\n1,2\n"
    assert store.head([ref]) == [8]


def test_an_empty_object_is_an_object(store: Store) -> None:
    ref = kept(store, b"")
    assert content(store, ref) == b""
    assert store.head([ref]) == [0]
    assert listed(store) == [ref]


def test_an_object_can_be_read_from_any_place(store: Store) -> None:
    ref = kept(store, b"0123456789")
    with store.open(ref) as file:
        file.seek(6)
        assert file.read(2) == b"67"


def test_an_object_of_many_pieces_is_read_whole_and_from_any_place(store: Store) -> None:
    data = b"".join(b"%09d\n" % n for n in range(1_000_000))
    ref = kept(store, data)
    assert content(store, ref) == data
    with store.open(ref) as file:
        for place in (9_999_990, 4_194_300, 0, 8_388_607):
            assert file.seek(place) == place == file.tell()
            assert file.read(20) == data[place : place + 20]
        assert file.seek(-10, 2) == 9_999_990
        assert file.read() == data[-10:]
        assert file.read(1) == b""


def test_an_object_of_unknown_size_can_be_opened(store: Store) -> None:
    ref = kept(store, b"bytes")
    assert content(store, ObjectRef(ref.bucket, ref.key, ref.version, 0, "")) == b"bytes"


def test_the_store_takes_the_staged_file(store: Store) -> None:
    put = a_put(store)
    store.put([put])
    assert not put.path.exists()


def test_putting_again_changes_nothing_and_takes_the_staged_file(store: Store) -> None:
    first = a_put(store, b"bytes")
    again = Put(first.ref, a_put(store, b"BYTES").path)
    assert store.put([first]) == [None]
    assert store.put([again]) == [None]
    assert not again.path.exists()
    assert content(store, first.ref) == b"bytes"
    assert listed(store) == [first.ref]


def test_putting_again_succeeds_though_the_staged_file_is_gone(store: Store) -> None:
    put = a_put(store)
    assert store.put([put]) == [None]
    assert store.put([put]) == [None]


@pytest.mark.parametrize("other", [b"BYTES", b"longer bytes"], ids=["same size", "another size"])
def test_other_bytes_under_a_name_that_is_taken_are_refused_alone(store: Store, other: bytes) -> None:
    ref = kept(store, b"bytes")
    bad, good = a_put(store, other, key=ref.key, version=ref.version), a_put(store)
    error, fine = store.put([bad, good])
    assert isinstance(error, Corrupt)
    assert str(ref) in str(error)
    assert fine is None
    assert content(store, ref) == b"bytes"
    assert listed(store) == [ref, good.ref]


def test_of_two_different_files_with_one_name_in_a_group_one_is_refused(store: Store) -> None:
    first = a_put(store, b"bytes")
    second = a_put(store, b"BYTES", key=first.ref.key, version=first.ref.version)
    none, error = store.put([first, second])
    assert none is None
    assert isinstance(error, Corrupt)
    assert content(store, first.ref) == b"bytes"


def test_a_copy_of_other_bytes_to_a_name_that_is_taken_is_refused(store: Store) -> None:
    ref, source = kept(store, b"bytes"), kept(store, b"other")
    (error,) = store.copy([Copy(source, ObjectRef(ref.bucket, ref.key, ref.version, source.size, source.sha256))])
    assert isinstance(error, Corrupt)
    assert content(store, ref) == b"bytes"


def test_the_same_object_twice_in_a_group_is_kept_once(store: Store) -> None:
    first = a_put(store)
    second = Put(first.ref, a_put(store).path)
    assert store.put([first, second]) == [None, None]
    assert not second.path.exists()
    assert listed(store) == [first.ref]


def test_a_group_answers_element_by_element(store: Store) -> None:
    good, bad, also_good = a_put(store), a_put(store), a_put(store)
    bad.path.unlink()
    first, error, last = store.put([good, bad, also_good])
    assert first is None
    assert last is None
    assert error is not None
    assert str(bad.ref) in str(error)
    assert store.head([good.ref, bad.ref, also_good.ref]) == [5, None, 5]
    assert listed(store) == [good.ref, also_good.ref]


def test_a_staged_file_of_another_size_is_refused(store: Store) -> None:
    put = a_put(store, b"bytes")
    put.path.write_bytes(b"byte")
    (error,) = store.put([put])
    assert isinstance(error, Corrupt)
    assert store.head([put.ref]) == [None]


def test_empty_groups_do_nothing(store: Store) -> None:
    assert store.put([]) == []
    assert store.copy([]) == []
    assert store.head([]) == []
    store.delete([])
    store.note([])
    assert listed(store) == []
    assert list(store.notes()) == []


NAMES = [
    "a b",
    "#1?&=%20",
    "../../etc/passwd",
    "/etc/passwd",
    "a\\b",
    "Ünï" + "\u0301",
    "☃" * 300,
    "-rf",
    "~",
    ".",
    "a\nb",
    "x/" * 99,
]


@pytest.mark.parametrize("key", NAMES)
def test_any_name_is_kept_as_it_is(store: Store, key: str) -> None:
    ref = kept(store, key=key)
    assert content(store, ref) == b"bytes"
    assert listed(store) == [ref]


def test_a_name_that_is_no_unicode_is_refused_alone(store: Store) -> None:
    good, bad = a_put(store), a_put(store, key="caf\udce9")
    first, error = store.put([good, bad])
    assert first is None
    assert error is not None
    assert error.code == "NAME_UNSAFE"
    assert listed(store) == [good.ref]


@pytest.mark.parametrize("version", ["", "null", "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY", "../..", "v" * 500])
def test_versions_need_not_be_ulids(store: Store, version: str) -> None:
    ref = ObjectRef("in", "a", version, 5, hashlib.sha256(b"bytes").hexdigest())
    assert store.put([Put(ref, a_put(store).path)]) == [None]
    assert content(store, ref) == b"bytes"


def test_bucket_key_and_version_together_tell_objects_apart(store: Store) -> None:
    version = fresh_version()
    places = [("a", "b/c", version), ("x", "b/c", version), ("a", "c", version), ("a", "b/c", fresh_version())]
    refs = [kept(store, b"%d" % n, bucket=b, key=k, version=v) for n, (b, k, v) in enumerate(places)]
    assert [content(store, ref) for ref in refs] == [b"0", b"1", b"2", b"3"]


def test_a_copy_has_the_bytes_of_its_source(store: Store) -> None:
    source = kept(store, b"bytes")
    ref = ObjectRef("out", "lake/a", fresh_version(), source.size, source.sha256)
    assert store.copy([Copy(source, ref, {"run": "1"})]) == [None]
    assert content(store, ref) == b"bytes"
    assert listed(store) == [source, ref]


def test_a_large_object_is_put_and_copied_and_putting_it_again_changes_nothing(store: Store) -> None:
    data = hashlib.sha256(b"large").digest() * 600_000
    put = a_put(store, data)
    ref = ObjectRef("out", "large", fresh_version(), put.ref.size, put.ref.sha256)
    assert store.put([put]) == [None]
    assert store.put([Put(put.ref, a_put(store, data).path)]) == [None]
    assert store.copy([Copy(put.ref, ref)]) == [None]
    assert hashlib.sha256(content(store, ref)).hexdigest() == put.ref.sha256
    assert listed(store) == [put.ref, ref]


@pytest.mark.parametrize("many", [1, 600_000], ids=["small", "large"])
def test_what_was_prepared_is_kept_only_when_it_is_put(store: Store, many: int) -> None:
    put = a_put(store, hashlib.sha256(b"large").digest() * many)
    store.prepare(put)
    store.prepare(put)
    assert put.path.exists()
    assert listed(store) == []
    assert store.put([replace(put, is_prepared=True)]) == [None]
    assert not put.path.exists()
    assert listed(store) == [put.ref]
    assert hashlib.sha256(content(store, put.ref)).hexdigest() == put.ref.sha256


def test_the_same_file_that_two_prepare_at_the_same_time_is_one_object(store: Store) -> None:
    """A URL that is used twice: neither knows of the other."""
    data = hashlib.sha256(b"large").digest() * 600_000
    first = a_put(store, data)
    both = [first, replace(a_put(store, data), ref=first.ref)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(store.prepare, both))
    assert [store.put([put]) for put in both] == [[None], [None]]
    assert listed(store) == [first.ref]


def test_copying_again_changes_nothing(store: Store) -> None:
    source = kept(store)
    copy = Copy(source, ObjectRef("out", "a", fresh_version(), source.size, source.sha256))
    assert store.copy([copy]) == [None]
    assert store.copy([copy, copy]) == [None, None]
    assert listed(store) == [source, copy.ref]


def test_a_copy_outlives_its_source(store: Store) -> None:
    source = kept(store, b"bytes")
    ref = ObjectRef("out", "a", fresh_version(), source.size, source.sha256)
    store.copy([Copy(source, ref)])
    store.delete([source])
    assert content(store, ref) == b"bytes"


def test_a_copy_of_nothing_is_not_found(store: Store) -> None:
    source = kept(store)
    missing = a_put(store).ref
    answers = store.copy(
        [Copy(each, ObjectRef("out", each.key, fresh_version(), each.size, each.sha256)) for each in (missing, source)]
    )
    assert isinstance(answers[0], NotFound)
    assert answers[1] is None


def test_opening_what_is_not_there_says_so(store: Store) -> None:
    with pytest.raises(NotFound, match="customer1/"):
        store.open(a_put(store).ref)


def test_a_deleted_object_is_gone(store: Store) -> None:
    kept_one, gone = kept(store), kept(store)
    store.delete([gone])
    assert store.head([kept_one, gone]) == [5, None]
    assert listed(store) == [kept_one]
    with pytest.raises(NotFound):
        store.open(gone)


def test_deleting_may_be_repeated(store: Store) -> None:
    ref = kept(store)
    store.delete([ref, ref])
    store.delete([ref, a_put(store).ref])
    assert store.head([ref]) == [None]


def test_a_deleted_object_may_be_put_again(store: Store) -> None:
    put = a_put(store)
    store.put([put])
    store.delete([put.ref])
    assert store.put([Put(put.ref, a_put(store).path)]) == [None]
    assert content(store, put.ref) == b"bytes"
    assert listed(store) == [put.ref]


def test_the_list_is_oldest_first_with_what_was_said_about_each(store: Store) -> None:
    refs = [kept(store) for _ in range(5)]
    entries = list(store.list())
    assert [entry.ref for entry in entries] == refs
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    assert {entry.about["customer"] for entry in entries} == {"customer1"}


def test_the_list_can_be_narrowed_to_a_bucket_and_a_prefix(store: Store) -> None:
    a, b = kept(store, bucket="in", key="a/1"), kept(store, bucket="in", key="b/1")
    c = kept(store, bucket="inner", key="a/1")
    assert listed(store, "in") == [a, b]
    assert listed(store, "in", "a/") == [a]
    assert listed(store, "", "a/") == [a, c]


def test_notes_come_back_in_order(store: Store) -> None:
    store.note([{"n": 1}, {"n": 2, "deep": {"list": [1, None, "ü"]}}])
    kept(store)
    store.note([{"n": 3}])
    assert list(store.notes()) == [{"n": 1}, {"n": 2, "deep": {"list": [1, None, "ü"]}}, {"n": 3}]


def test_another_process_sees_the_same(store: Store, reopen: Callable[[], Store]) -> None:
    refs = [kept(store) for _ in range(3)]
    store.note([{"n": 1}])
    other = reopen()
    mine = kept(other)
    refs.append(kept(store))
    for each in (store, other):
        assert listed(each) == [*refs[:3], mine, refs[3]]
        assert list(each.notes()) == [{"n": 1}]
        assert each.head([*refs, mine]) == [5] * 5


def test_what_is_kept_outlives_a_close(store: Store, reopen: Callable[[], Store]) -> None:
    ref = kept(store)
    store.note([{"a": 1}])
    store.close()
    store.close()
    again = reopen()
    assert (content(again, ref), [*again.notes()]) == (b"bytes", [{"a": 1}])


def test_scratch_directories_are_empty_and_distinct(store: Store) -> None:
    first, second = store.scratch(), store.scratch()
    assert first != second
    assert list(first.iterdir()) == []
