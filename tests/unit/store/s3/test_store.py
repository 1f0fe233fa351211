"""What the store in a bucket does beside the contract: requests, troubles of the network, and what a crash leaves."""

from __future__ import annotations

import base64
import hashlib
import logging
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rig import buckets
from rig.proxy import Proxy, proxied
from wharfinger.errors import Corrupt, NotFound, StoreError, Unreachable
from wharfinger.model import ObjectRef, file_id
from wharfinger.store import Copy, Put
from wharfinger.store.s3 import client as client_module
from wharfinger.store.s3 import open_url
from wharfinger.store.s3 import store as store_module
from wharfinger.store.s3.store import S3Store
from wharfinger.store.versions import Versions

fresh_version = Versions()

OBJECT, PAGE, AGAIN = "PUT objects", "PUT journal", "PUT again"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with proxied(buckets.moto()) as proxy:
        yield proxy


@pytest.fixture
def store(proxy: Proxy, tmp_path: Path) -> Iterator[S3Store]:
    store = buckets.a_store(tmp_path, endpoint=proxy.endpoint)
    proxy.asked.clear()
    yield store
    store.close()


def a_put(store: S3Store, data: bytes = b"bytes", version: str = "") -> Put:
    path = store.scratch() / "staged"
    path.write_bytes(data)
    ref = ObjectRef("in", "a/b.csv", version or fresh_version(), len(data), hashlib.sha256(data).hexdigest())
    return Put(ref, path, {"customer": "acme"})


def kept(store: S3Store, data: bytes = b"bytes") -> ObjectRef:
    put = a_put(store, data)
    assert store.put([put]) == [None]
    return put.ref


def copy_of(ref: ObjectRef) -> Copy:
    return Copy(ref, replace(ref, bucket="out", version=fresh_version()))


def content(store: S3Store, ref: ObjectRef) -> bytes:
    with store.open(ref) as file:
        return file.read()


def large(monkeypatch: pytest.MonkeyPatch, bytes: int = 6 << 20) -> bytes:
    """Bytes of a file that goes out in parts."""
    monkeypatch.setattr(store_module, "LARGE", 1 << 20)
    monkeypatch.setattr(client_module, "PART", 5 << 20)
    return hashlib.sha256(b"large").digest() * (bytes // 32)


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PATIENCE_S", 0.5)


def test_a_group_costs_one_request_for_each_object_and_one_for_the_page(store: S3Store, proxy: Proxy) -> None:
    assert store.put([a_put(store) for _ in range(20)]) == [None] * 20
    assert proxy.words() == [OBJECT] * 20 + [PAGE]


def test_a_copy_moves_no_bytes(store: S3Store, proxy: Proxy) -> None:
    ref = kept(store, b"x" * 100_000)
    proxy.asked.clear()
    assert store.copy([copy_of(ref)]) == [None]
    assert sum(len(each.body) for each in proxy.asked) < 1000
    assert proxy.words() == ["HEAD objects", OBJECT, PAGE]


def test_a_small_object_is_opened_and_read_with_one_request(store: S3Store, proxy: Proxy) -> None:
    ref = kept(store)
    proxy.asked.clear()
    assert content(store, ref) == b"bytes"
    assert proxy.words() == ["GET objects"]


def test_the_key_is_the_id_and_tells_nothing_of_the_name(store: S3Store, proxy: Proxy) -> None:
    ref = kept(store)
    name = file_id(ref.bucket, ref.key, ref.version)
    assert proxy.asked[0].path.endswith(f"/custody/objects/{name[:5]}/{name[5:7]}/{name}")


def test_the_checksum_goes_along_and_nothing_is_replaced(store: S3Store, proxy: Proxy) -> None:
    ref = kept(store)
    sent = proxy.asked[0].headers
    assert sent["x-amz-checksum-sha256"] == base64.b64encode(bytes.fromhex(ref.sha256)).decode()
    assert sent["if-none-match"] == "*"
    assert sent["x-amz-meta-sha256"] == ref.sha256


def test_each_part_of_a_large_object_has_its_checksum(
    store: S3Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(store, large(monkeypatch))
    parts = [each for each in proxy.asked if each.word == OBJECT]
    assert len(parts) == 2
    for part in parts:
        assert part.headers["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(part.body).digest()).decode()


@pytest.mark.parametrize("many", [5, 6 << 20], ids=["small", "large"])
def test_staged_bytes_that_have_changed_since_they_were_hashed_are_not_kept(
    store: S3Store, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    put = a_put(store, large(monkeypatch, 6 << 20)[:many])
    Path(put.path).write_bytes(Path(put.path).read_bytes()[:-1] + b"\0")
    (error,) = store.put([put])
    assert isinstance(error, Corrupt)
    assert store.head([put.ref]) == [None]
    assert [*store.list()] == []
    assert Path(put.path).exists()


@pytest.mark.parametrize("harm", ["busy", "cut", "drop"])
@pytest.mark.parametrize("word", [OBJECT, PAGE])
def test_a_put_that_meets_trouble_once_is_kept_once(store: S3Store, proxy: Proxy, harm: str, word: str) -> None:
    proxy.once(harm, word, times=2)  # type: ignore[arg-type]
    puts = [a_put(store, b"%d" % n) for n in range(5)]
    assert store.put(puts) == [None] * 5
    assert [listed.ref for listed in store.list()] == [put.ref for put in puts]
    assert [content(store, put.ref) for put in puts] == [b"%d" % n for n in range(5)]
    assert [*store.verify()] == []


@pytest.mark.parametrize("harm", ["busy", "cut", "drop", "error"])
def test_a_copy_that_meets_trouble_once_is_there_once(store: S3Store, proxy: Proxy, harm: str) -> None:
    copy = copy_of(kept(store))
    proxy.once(harm, OBJECT)  # type: ignore[arg-type]
    assert store.copy([copy]) == [None]
    assert content(store, copy.ref) == b"bytes"
    assert [listed.ref for listed in store.list("out")] == [copy.ref]


@pytest.mark.parametrize("harm", ["busy", "cut", "drop"])
@pytest.mark.parametrize("word", [OBJECT, "POST objects"])
def test_a_large_put_that_meets_trouble_is_kept(
    store: S3Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, harm: str, word: str
) -> None:
    data = large(monkeypatch)
    proxy.once(harm, word)  # type: ignore[arg-type]
    ref = kept(store, data)
    assert content(store, ref) == data
    assert [listed.ref for listed in store.list()] == [ref]


@pytest.mark.parametrize("harm", ["busy", "cut", "drop"])
def test_reading_deleting_and_looking_up_survive_trouble(store: S3Store, proxy: Proxy, harm: str) -> None:
    ref, gone = kept(store), kept(store)
    proxy.once(harm, "GET objects")  # type: ignore[arg-type]
    assert content(store, ref) == b"bytes"
    proxy.once(harm, "HEAD objects")  # type: ignore[arg-type]
    assert store.head([ref]) == [5]
    proxy.once(harm, "POST " + proxy.asked[0].path.split("/")[1])  # type: ignore[arg-type]
    store.delete([gone])
    assert store.head([ref, gone]) == [5, None]
    proxy.once(harm, "GET journal")  # type: ignore[arg-type]
    assert [listed.ref for listed in store.list()] == [ref]


def test_an_object_that_may_not_be_deleted_is_not_a_service_that_is_away(store: S3Store, proxy: Proxy) -> None:
    locked = kept(store)
    proxy.once("locked", "POST " + proxy.asked[0].path.split("/")[1])
    with pytest.raises(StoreError) as caught:
        store.delete([locked])
    assert (caught.value.code, "AccessDenied" in str(caught.value)) == ("NOT_PERMITTED", True)
    assert "locked" not in str(caught.value), "no words of the service"
    assert store.head([locked]) == [5]


@pytest.mark.parametrize("harm", ["busy", "drop"])
def test_what_stays_away_is_unreachable_and_may_be_tried_again(
    store: S3Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    impatient(monkeypatch)
    store.close()
    store = S3Store(client_module.Client(store._client.address), store._spool)
    ref, put = kept(store), a_put(store)
    proxy.harm = lambda _: harm  # type: ignore[assignment,return-value]
    began = time.monotonic()
    (error,) = store.put([put])
    assert isinstance(error, Unreachable)
    assert error.fix
    for ask in (lambda: store.open(ref), lambda: store.head([ref]), lambda: store.note([{"a": 1}])):
        with pytest.raises(Unreachable):
            ask()
    assert time.monotonic() - began < 30
    proxy.harm = lambda _: ""
    assert store.put([put]) == [None]
    assert content(store, put.ref) == b"bytes"


def test_no_error_repeats_a_secret(store: S3Store, proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.harm = lambda _: "denied"
    (error,) = store.put([a_put(store)])
    assert isinstance(error, StoreError)
    assert error.code == "NOT_PERMITTED"
    assert "InvalidToken" in str(error)
    told = "".join(traceback.format_exception(error)) + error.fix + caplog.text
    assert not any(secret in told for secret in buckets.CREDENTIALS.values())
    with pytest.raises(StoreError) as refusal:
        store.head([ObjectRef("a", "b", "c", 1, "")])
    told = "".join(traceback.format_exception(refusal.value)) + repr(store._client)
    assert not any(secret in told for secret in buckets.CREDENTIALS.values())


def test_a_missing_bucket_is_told_with_what_mends_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no bucket 'nowhere-at-all'") as refusal:
        open_url(f"s3://nowhere-at-all?endpoint={buckets.moto()}&region=us-east-1", tmp_path)
    assert (refusal.value.code, "create it" in refusal.value.fix) == ("NO_BUCKET", True)


def test_a_page_that_cannot_be_written_leaves_nothing_listed_and_a_repeat_makes_it_good(
    store: S3Store, proxy: Proxy
) -> None:
    puts = [a_put(store), a_put(store)]
    proxy.harm = lambda asked: "denied" if asked.word == PAGE else ""
    assert [error and error.code for error in store.put(puts)] == ["NOT_PERMITTED"] * 2
    proxy.harm = lambda _: ""
    assert [*store.list()] == []
    assert [*store.verify()] == []
    assert store.put(puts) == [None, None]
    assert [listed.ref for listed in store.list()] == [put.ref for put in puts]
    assert [*store.verify()] == []


def test_what_is_put_again_and_again_is_listed_once(store: S3Store, proxy: Proxy) -> None:
    puts = [a_put(store), a_put(store)]
    for _ in range(3):
        assert store.put([replace(put, path=a_put(store).path) for put in puts]) == [None, None]
    assert proxy.words().count(AGAIN) == 2
    assert [listed.ref for listed in store.list()] == [put.ref for put in puts]
    store.delete([puts[0].ref])
    assert [listed.ref for listed in store.list()] == [puts[1].ref]
    assert [*store.verify()] == []


def test_the_list_finds_objects_that_lie_far_from_each_other(
    store: S3Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PAGE", 2)
    puts = [a_put(store, version=f"{n:010d}{n:016d}") for n in (5, 1, 9, 3, 7, 2, 8)]
    assert store.put(puts) == [None] * 7
    store.delete([puts[3].ref, puts[5].ref])
    assert [listed.ref.version for listed in store.list()] == [puts[n].ref.version for n in (0, 1, 2, 4, 6)]


def test_only_the_oldest_are_read_by_who_wants_only_these(store: S3Store, proxy: Proxy) -> None:
    for _ in range(40):
        kept(store)
    proxy.asked.clear()
    next(store.list())
    assert proxy.words().count("GET journal") < 40


def test_what_was_lost_changed_or_never_described_is_found(store: S3Store, proxy: Proxy, tmp_path: Path) -> None:
    whole, lost, other = kept(store), kept(store), kept(store)
    place = store._shelf.place
    store._client.delete([place(lost)])
    store._client.write(place(other), b"BYTES")
    store._client.write("objects/01K1F/9Z/stray", b"x")
    tomorrow = S3Store(store._client, tmp_path / "spool", clock=lambda: time.time() + 86_400)
    found = {(problem.kind, problem.ref) for problem in tomorrow.verify()}
    assert found == {("missing", lost), ("sha256", other), ("stray", None)}
    assert {problem.path.split("/objects/")[0] for problem in tomorrow.verify()} == {str(store._client)}
    assert store.head([whole]) == [5]


def test_a_damaged_page_is_reported_and_passed_over(store: S3Store, proxy: Proxy) -> None:
    kept(store)
    other = kept(store)
    [page, *_] = [name for name, _ in store._client.list("journal")]
    store._client.write(page, store._client.read(page).replace(b'{"bucket"', b'{"bucke', 1))
    assert [problem.kind for problem in store.verify()] == ["journal"]
    assert [listed.ref for listed in store.list()] == [other]


def test_a_file_that_was_removed_while_it_is_read_is_not_found(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wharfinger.store.s3.reader.PIECE", 100)
    ref = kept(store, b"x" * 1000)
    with store.open(ref) as file:
        store.delete([ref])
        with pytest.raises(NotFound):
            file.read()


def test_a_large_object_that_was_prepared_is_put_without_sending_its_bytes(
    store: S3Store, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = a_put(store, large(monkeypatch))
    store.prepare(put)
    proxy.asked.clear()
    assert store.put([replace(put, is_prepared=True)]) == [None]
    assert proxy.words() == ["HEAD objects", PAGE]
    assert [*store.verify()] == []


def test_a_small_object_is_not_sent_ahead(store: S3Store, proxy: Proxy) -> None:
    store.prepare(a_put(store))
    assert proxy.asked == []


def test_more_than_the_service_copies_passes_through(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MOST_COPIED", 1 << 20)
    data = large(monkeypatch)
    copy = copy_of(kept(store, data))
    assert store.copy([copy]) == [None]
    assert content(store, copy.ref) == data


def test_a_page_that_comes_after_its_object_was_put_again_and_deleted_tells_of_no_loss(
    store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker stands still before the page of its checkpoint, until another has done all of it and the checkpoint is dropped."""
    zombie, pages = buckets.a_store(tmp_path), []
    with monkeypatch.context() as still:
        still.setattr(zombie._pages, "keep", lambda lines, again: pages.append((lines, again)))
        put = a_put(zombie)
        assert zombie.put([put]) == [None]
    assert store.put([replace(a_put(store), ref=put.ref)]) == [None]
    store.delete([put.ref])
    for lines, again in pages:
        zombie._pages.keep(lines, again=again)
    assert [*store.verify()] == []
    zombie.close()
