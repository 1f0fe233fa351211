from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from wharfinger.errors import StoreError
from wharfinger.model import ObjectRef, derive, file_id
from wharfinger.store import Put
from wharfinger.store.local import LocalStore
from wharfinger.store.staging import Staging
from wharfinger.store.versions import Versions

fresh_version = Versions()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def a_put(store: LocalStore, key: str = "a", version: str = "", data: bytes = b"bytes") -> Put:
    path = store.scratch() / "staged"
    path.write_bytes(data)
    return Put(ObjectRef("in", key, version or fresh_version(), len(data), sha256(data).hexdigest()), path)


def objects(store: LocalStore) -> list[Path]:
    return sorted(path for path in (store.root / "objects").rglob("*") if path.is_file())


def test_the_root_explains_itself_and_is_private(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "deep" / "store")
    assert "wharf ledger rebuild" in (store.root / "README.txt").read_text()
    assert sorted(path.name for path in store.root.iterdir()) == [
        "README.txt",
        "journal",
        "objects",
        "scratch",
        "staging",
    ]
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700


def test_a_root_that_is_a_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError, match="store"):
        LocalStore(tmp_path / "store")


def test_an_object_is_named_by_its_file_id(store: LocalStore) -> None:
    put = a_put(store, "../../etc/passwd")
    store.put([put])
    (path,) = objects(store)
    name = file_id("in", "../../etc/passwd", put.ref.version)
    assert path == store.root / "objects" / name[:5] / name[5:7] / name


def test_objects_of_one_moment_share_a_directory(store: LocalStore) -> None:
    version = fresh_version()
    store.put([a_put(store, str(n), derive(version, str(n))) for n in range(20)])
    assert len({path.parent for path in objects(store)}) == 1


def test_an_open_descriptor_stays_the_callers(store: LocalStore) -> None:
    staged = Staging(store.root / "staging").create()
    staged.write(0, b"bytes")
    size, digest = staged.finish()
    assert store.put([Put(ObjectRef("in", "a", fresh_version(), size, digest), Path(staged.path), {}, staged.fd)]) == [
        None
    ]
    assert staged.read(0, 10) == b"bytes"
    staged.close()
    assert list((store.root / "staging").iterdir()) == []


def test_threads_may_put_at_once(store: LocalStore) -> None:
    groups = [[a_put(store, f"{n}/{k}") for k in range(8)] for n in range(16)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(store.put, groups)) == [[None] * 8] * 16
    assert {each.ref for each in store.list()} == {put.ref for group in groups for put in group}
    assert list(store.verify()) == []


def test_two_processes_that_race_for_one_object_keep_the_first(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    zombie, successor = a_put(store, data=b"zombi"), a_put(store)
    late = Put(successor.ref, zombie.path)
    exists = os.path.exists

    def successor_is_faster(path: str) -> bool:
        seen = exists(path)
        if not seen and successor.path.exists() and "objects" in path:
            monkeypatch.setattr(os.path, "exists", exists)
            LocalStore(store.root).put([successor])
        return seen

    monkeypatch.setattr(os.path, "exists", successor_is_faster)
    assert store.put([late]) == [None]
    assert not zombie.path.exists()
    with store.open(successor.ref) as file:
        assert file.read() == b"bytes"
    assert [each.ref for each in store.list()] == [successor.ref]
    assert list(store.verify()) == []


def test_a_cut_off_put_that_is_repeated_is_listed_once(store: LocalStore) -> None:
    put = a_put(store)
    store.put([put])
    (page,) = (store.root / "journal").glob("*/*")
    cut_off = page.read_bytes().splitlines(keepends=True)[0]
    objects(store)[0].unlink()
    page.write_bytes(cut_off)
    assert list(store.list()) == []
    other = LocalStore(store.root)
    assert other.put([a_put(store, "a", put.ref.version)]) == [None]
    assert [each.ref for each in other.list()] == [put.ref]


def test_scratch_of_others_is_left_alone_however_old(tmp_path: Path) -> None:
    old = LocalStore(tmp_path, clock=lambda: 1_753_900_000.0).scratch()
    LocalStore(tmp_path).scratch()
    assert old.exists()


def test_a_closed_store_has_no_threads_left(store: LocalStore) -> None:
    store.put([a_put(store, str(n)) for n in range(8)])
    store.close()
