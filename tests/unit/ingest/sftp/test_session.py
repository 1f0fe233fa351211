"""One session over in-memory streams: what each rule of completion, resume and overwrite means."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import itertools
import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rig.packets import (
    APPEND,
    BAD_MESSAGE,
    CREAT,
    DATA,
    DENIED,
    EOF,
    EXCL,
    FAILURE,
    HANDLE,
    NO_SUCH_FILE,
    OK,
    TRUNC,
    UNSUPPORTED,
    R,
    Reply,
    W,
    attrs,
    packet,
    string,
    u32,
    u64,
)
from rig.sessions import BOB, Client, Desk
from wharfinger.ingest.sftp import codec
from wharfinger.ingest.sftp.session import MAX_PROMISED, MAX_UNFINISHED, TURN, TURN_REPLIES
from wharfinger.ingest.sftp.verbs import MAX_HANDLES
from wharfinger.ingest.sftp.writing import MAX_SIZE, STRIDE
from wharfinger.ledger import MOST_MOVED, Entry, User
from wharfinger.model import Status
from wharfinger.store import disk
from wharfinger.store.staging import MAX_HOLES, Staged


@pytest.fixture
def ann(desk: Desk) -> Client:
    return desk.sign_in()


# -- R1: complete


def test_a_closed_upload_is_an_arrival_that_tells_all_about_itself(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a.csv", b"a,b\n1,2\n3,4\n")
    (record,) = desk.files()
    assert (record.key, record.customer_id, record.user, record.source) == ("acme/inbound/a.csv", "acme", "ann", "sftp")
    assert record.sha256 == hashlib.sha256(b"a,b\n1,2\n3,4\n").hexdigest()
    assert (record.size, record.media_type, record.status) == (12, "text/csv", Status.UPLOADED)
    assert desk.content(record) == b"a,b\n1,2\n3,4\n"
    assert ann.get("inbound/a.csv") == b"a,b\n1,2\n3,4\n"


def test_nothing_is_an_arrival_before_its_close(desk: Desk, ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    assert desk.files() == []
    assert ann.close(handle).code == OK
    assert len(desk.files()) == 1


def test_an_empty_upload_is_an_arrival(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/empty", b"")
    (record,) = desk.files()
    assert (record.size, desk.content(record)) == (0, b"")


def test_writes_may_come_in_any_order_and_overlap(desk: Desk, ann: Client) -> None:
    handle = ann.open("/inbound/a")
    for offset, data in [(6, b"ghi"), (0, b"xxxd"), (3, b"def"), (0, b"abc")]:
        assert ann.write_at(handle, offset, data).code == OK
    assert ann.close(handle).code == OK
    assert desk.content(desk.files()[0]) == b"abcdefghi"


def test_a_gap_fails_the_close_and_the_beginning_stays_a_partial(desk: Desk, ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    ann.write_at(handle, 5, b"fg")
    refused = ann.close(handle)
    assert refused.code == FAILURE
    assert "3 to 5" in refused.text
    assert desk.files() == []
    assert ann.stat("/inbound/a").size == 3


def test_a_hole_made_by_fsetstat_counts_as_zeros(desk: Desk, ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    assert ann.ask(10, string(handle), attrs(size=5)).code == OK
    assert ann.close(handle).code == OK
    assert desk.content(desk.files()[0]) == b"abc\0\0"


def test_a_file_that_is_mostly_a_hole_is_not_complete(desk: Desk, ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    assert ann.ask(10, string(handle), attrs(size=MAX_HOLES + 4)).code == OK
    refused = ann.close(handle)
    assert (refused.code, "not sent" in refused.text) == (FAILURE, True)
    assert desk.files() == []
    assert ann.stat("/inbound/a").size == 3


def test_a_failed_write_is_told_again_at_the_close(desk: Desk, ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    assert ann.write_at(handle, MAX_SIZE, b"x").code == FAILURE
    refused = ann.close(handle)
    assert refused.code == FAILURE
    assert str(MAX_SIZE) in refused.text
    assert desk.files() == []


def test_a_failed_fsetstat_is_told_again_at_the_close(desk: Desk, ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    assert ann.ask(10, string(handle), attrs(size=MAX_SIZE + 1)).code == FAILURE
    refused = ann.close(handle)
    assert refused.code == FAILURE
    assert str(MAX_SIZE) in refused.text
    assert desk.files() == []


def test_an_fsetstat_for_which_there_is_no_room_is_told_again_at_the_close(desk: Desk, ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    assert "no room" in ann.ask(10, string(handle), attrs(size=MAX_SIZE)).text
    assert "no room" in ann.close(handle).text
    assert desk.files() == []


# -- R2: partial and resume


def test_an_upload_that_is_cut_off_is_a_partial_and_goes_on_where_it_ended(desk: Desk, ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    ann.leave()
    assert desk.files() == []
    again = desk.sign_in()
    assert again.stat("/inbound/a").size == 3
    handle = again.open("/inbound/a", W | CREAT)
    assert again.ask(8, string(handle)).size == 3
    again.write_at(handle, 3, b"def")
    assert again.close(handle).code == OK
    assert [desk.content(record) for record in desk.files()] == [b"abcdef"]
    assert desk.staging.ids() == []
    assert list(desk.database.namespace.partials(before=1e12)) == []


def test_a_partial_may_be_cut_off_again_and_again(desk: Desk) -> None:
    for n in range(3):
        client = desk.sign_in()
        client.write_at(client.open("/inbound/a", W | APPEND | CREAT), n, b"abc"[n : n + 1])
        client.leave()
    last = desk.sign_in()
    assert last.close(last.open("/inbound/a", W | CREAT)).code == OK
    assert [desk.content(record) for record in desk.files()] == [b"abc"]


def test_what_came_after_a_gap_is_no_part_of_the_partial(desk: Desk, ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    ann.write_at(handle, 100, b"x")
    ann.leave()
    assert desk.sign_in().stat("/inbound/a").size == 3


def test_an_upload_without_a_byte_leaves_nothing(desk: Desk, ann: Client) -> None:
    ann.open("/inbound/a")
    ann.leave()
    assert desk.sign_in().stat("/inbound/a").code == NO_SUCH_FILE
    assert desk.staging.ids() == []


def test_trunc_starts_a_partial_anew(desk: Desk, ann: Client) -> None:
    ann.write_at(ann.open("/inbound/a"), 0, b"old bytes")
    ann.leave()
    desk.sign_in().put("/inbound/a", b"new")
    assert [desk.content(record) for record in desk.files()] == [b"new"]
    assert desk.staging.ids() == []


def test_another_user_does_not_continue_a_partial(desk: Desk, ann: Client) -> None:
    ann.write_at(ann.open("/inbound/a"), 0, b"ann's")
    ann.leave()
    bob = desk.sign_in(BOB)
    bob.put("/inbound/a", b"bob", W | CREAT)
    assert [desk.content(record) for record in desk.files()] == [b"bob"]


def test_a_client_that_counts_on_bytes_which_are_gone_is_told_at_once(desk: Desk, ann: Client) -> None:
    ann.write_at(ann.open("/inbound/a"), 0, b"abc")
    ann.leave()
    (entry,) = desk.database.namespace.partials(before=1e12)
    desk.staging.discard(entry.staged)
    again = desk.sign_in()
    handle = again.open("/inbound/a", W | CREAT)
    refused = again.write_at(handle, 3, b"def")
    assert refused.code == FAILURE
    assert "beginning" in refused.text
    assert again.close(handle).code == FAILURE
    assert desk.files() == []
    again.put("/inbound/a", b"abcdef")
    assert [desk.content(record) for record in desk.files()] == [b"abcdef"]


def test_a_partial_does_not_cover_what_arrived_meanwhile(desk: Desk, ann: Client) -> None:
    ann.write_at(ann.open("/inbound/a"), 0, b"ann's begin")
    desk.sign_in(BOB).put("/inbound/a", b"bob's whole")
    ann.leave()
    assert desk.sign_in().get("/inbound/a") == b"bob's whole"
    assert desk.staging.ids() == []


def test_removing_a_partial_brings_back_the_file_beneath(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a", b"whole")
    ann.write_at(ann.open("/inbound/a"), 0, b"cut")
    ann.leave()
    again = desk.sign_in()
    assert again.stat("/inbound/a").size == 3
    assert again.ask(3, string("/inbound/a"), u32(R), attrs()).code == FAILURE
    assert again.ask(13, string("/inbound/a")).code == OK
    assert again.get("/inbound/a") == b"whole"
    assert desk.staging.ids() == []


# -- R3: overwrite without TRUNC


def test_bytes_that_are_not_overwritten_are_those_of_the_version_before(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a", b"abcdef")
    handle = ann.open("/inbound/a", W)
    ann.write_at(handle, 2, b"XY")
    assert ann.close(handle).code == OK
    assert [desk.content(record) for record in desk.files()] == [b"abcdef", b"abXYef"]


def test_a_shorter_overwrite_ends_where_fsetstat_says(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a", b"a longer one")
    handle = ann.open("/inbound/a", W | CREAT)
    ann.write_at(handle, 0, b"short")
    ann.ask(10, string(handle), attrs(size=5))
    assert ann.close(handle).code == OK
    assert desk.content(desk.files()[1]) == b"short"


@pytest.mark.parametrize("data", [b"", b"abc", b"abcdef"])
def test_no_version_is_made_of_bytes_that_did_not_change(desk: Desk, ann: Client, data: bytes) -> None:
    ann.put("/inbound/a", b"abcdef")
    ann.put("/inbound/a", data, W | CREAT)
    assert len(desk.files()) == 1
    assert ann.get("/inbound/a") == b"abcdef"
    assert desk.staging.ids() == []


@pytest.mark.parametrize("data", [b"", b"abc"], ids=["untouched", "the same bytes"])
def test_bytes_that_did_not_change_land_over_what_arrived_meanwhile(desk: Desk, ann: Client, data: bytes) -> None:
    ann.put("/inbound/a", b"abc")
    handle = ann.open("/inbound/a", W | CREAT)
    desk.sign_in(BOB).put("/inbound/a", b"xyz")
    if data:
        ann.write_at(handle, 0, data)
    assert ann.close(handle).code == OK
    assert ann.get("/inbound/a") == b"abc"
    assert [desk.content(record) for record in desk.files()] == [b"abc", b"xyz", b"abc"]


@pytest.mark.parametrize("data", [b"", b"abc"], ids=["untouched", "the same bytes"])
def test_bytes_that_did_not_change_land_where_the_name_was_removed_meanwhile(
    desk: Desk, ann: Client, data: bytes
) -> None:
    ann.put("/inbound/a", b"abc")
    handle = ann.open("/inbound/a", W | CREAT)
    assert desk.sign_in(BOB).ask(13, string("/inbound/a")).code == OK
    if data:
        ann.write_at(handle, 0, data)
    assert ann.close(handle).code == OK
    assert ann.get("/inbound/a") == b"abc"


def test_the_same_bytes_sent_whole_are_a_new_arrival(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a", b"abc")
    ann.put("/inbound/a", b"abc")
    first, second = desk.files()
    assert first.version < second.version
    assert first.file_id != second.file_id


def test_append_puts_writes_at_the_end_whatever_their_offset(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a", b"abc")
    handle = ann.open("/inbound/a", W | APPEND)
    for offset, data in [(0, b"def"), (0, b"ghi"), (6, b"jkl")]:
        assert ann.write_at(handle, offset, data).code == OK
    assert ann.close(handle).code == OK
    assert desk.content(desk.files()[1]) == b"abcdefghijkl"


def test_append_believes_a_client_that_counts(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a", b"abcdef")
    handle = ann.open("/inbound/a", W | APPEND)
    ann.write_at(handle, 3, b"DEF")
    ann.write_at(handle, 6, b"ghi")
    assert ann.close(handle).code == OK
    assert desk.content(desk.files()[1]) == b"abcDEFghi"


def test_what_is_being_written_can_be_read_and_measured_by_its_session(desk: Desk, ann: Client) -> None:
    handle = ann.open("/inbound/a", R | W | CREAT)
    ann.write_at(handle, 0, b"abcdef")
    assert ann.ask(5, string(handle), u64(2), u32(3)).blob == b"cde"
    assert ann.ask(8, string(handle)).size == 6
    assert ann.stat("/inbound/a").size == 6
    assert desk.sign_in(BOB).stat("/inbound/a").code == NO_SUCH_FILE


def test_excl_refuses_a_file_and_takes_the_place_of_a_partial(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a", b"abc")
    assert "exists" in ann.ask(3, string("/inbound/a"), u32(W | CREAT | EXCL), attrs()).text
    ann.write_at(ann.open("/inbound/b"), 0, b"cut off")
    ann.leave()
    desk.sign_in().put("/inbound/b", b"x", W | CREAT | EXCL)
    assert desk.content(desk.files()[1]) == b"x"


Change = tuple[str, int, bytes]
changes = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 40), st.binary(max_size=20)),
    st.tuples(st.just("truncate"), st.integers(0, 60), st.just(b"")),
)


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.none() | st.binary(max_size=40), made=st.lists(changes, max_size=8))
def test_every_mix_of_writes_and_truncates_ends_as_in_a_file(
    desk: Desk, before: bytes | None, made: list[Change]
) -> None:
    client, name = desk.sign_in(), f"/inbound/{time.monotonic_ns()}"
    if before is not None:
        client.put(name, before)
    model, given_bytes = bytearray(before or b""), [True] * len(before or b"")
    handle = client.open(name, W | CREAT)
    for kind, at, data in made:
        if kind == "write":
            if before is not None and not any(k == "write" and d for k, _, d in made[: made.index((kind, at, data))]):
                at = min(at, len(model))  # a first write beyond the end is refused where bytes count
            if data:
                model.extend(bytes(max(0, at + len(data) - len(model))))
                given_bytes.extend([False] * (len(model) - len(given_bytes)))
                model[at : at + len(data)] = data
                given_bytes[at : at + len(data)] = [True] * len(data)
            assert client.write_at(handle, at, data).code == OK
        else:
            model[at:] = bytes(max(0, at - len(model)))
            given_bytes[at:] = [True] * max(0, at - len(given_bytes))
            assert client.ask(10, string(handle), attrs(size=at)).code == OK
        assert client.ask(8, string(handle)).size == len(model)
    closed = client.close(handle)
    assert (closed.code == OK) == all(given_bytes)
    if closed.code == OK:
        assert client.get(name) == bytes(model)


# -- R8: after the close (R4), renames


def test_nothing_after_the_close_is_a_second_arrival(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a", b"abc")
    assert ann.ask(9, string("/inbound/a"), attrs(mtime=1234, permissions=0o600)).code == OK
    assert ann.stat("/inbound/a").mtime == 1234
    assert ann.ask(9, string("/inbound/a"), attrs(size=3)).code == OK
    assert ann.ask(18, string("/inbound/a"), string("/inbound/b")).code == OK
    assert ann.stat("/inbound/a").code == NO_SUCH_FILE
    assert ann.stat("/inbound/b").size == 3
    assert ann.get("/inbound/b") == b"abc"
    assert ann.ask(13, string("/inbound/b")).code == OK
    assert ann.stat("/inbound/b").code == NO_SUCH_FILE
    (record,) = desk.files()
    assert record.key == "acme/inbound/a"
    assert desk.content(record) == b"abc"


def test_a_time_set_before_the_close_is_the_files(desk: Desk, ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    ann.ask(10, string(handle), attrs(size=3, mtime=777))
    ann.close(handle)
    assert ann.stat("/inbound/a").mtime == 777


@pytest.mark.parametrize("data", [b"", b"abc"], ids=["untouched", "the same bytes"])
def test_a_time_set_before_the_close_is_the_files_though_no_byte_changed(desk: Desk, ann: Client, data: bytes) -> None:
    ann.put("/inbound/a", b"abc")
    handle = ann.open("/inbound/a", W)
    if data:
        ann.write_at(handle, 0, data)
    ann.ask(10, string(handle), attrs(mtime=777))
    assert ann.close(handle).code == OK
    assert ann.stat("/inbound/a").mtime == 777
    assert len(desk.files()) == 1


def test_a_file_that_has_arrived_is_not_cut_by_its_name(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a", b"abc")
    assert ann.ask(9, string("/inbound/a"), attrs(size=1)).code == UNSUPPORTED
    assert ann.get("/inbound/a") == b"abc"


def test_rename_replaces_only_by_the_extension(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a", b"aaa")
    ann.put("/inbound/b", b"bbb")
    refused = ann.ask(18, string("/inbound/a"), string("/inbound/b"))
    assert (refused.code, "exists" in refused.text) == (FAILURE, True)
    posix = string("posix-rename@openssh.com") + string("/inbound/a") + string("/inbound/b")
    assert ann.ask(200, posix).code == OK
    assert ann.get("/inbound/b") == b"aaa"
    assert ann.stat("/inbound/a").code == NO_SUCH_FILE
    assert len(desk.files()) == 2


def test_renames_that_make_no_sense_are_refused(ann: Client) -> None:
    ann.ask(14, string("/inbound/d"), attrs())
    assert ann.ask(18, string("/inbound/none"), string("/inbound/b")).code == NO_SUCH_FILE
    assert ann.ask(18, string("/inbound/d"), string("/none/d")).code == NO_SUCH_FILE
    assert ann.ask(18, string("/inbound/d"), string("/inbound/d/e")).code == FAILURE
    assert ann.ask(18, string("/inbound"), string("/else")).code == FAILURE


def test_a_directory_with_too_much_below_it_is_not_renamed_and_the_client_hears_why(desk: Desk, ann: Client) -> None:
    ann.ask(14, string("/inbound/d"), attrs())
    for start in range(0, MOST_MOVED + 1, 100):
        desk.database.namespace.make([Entry(f"acme/inbound/d/{n}", "dir") for n in range(start, start + 100)])
    refused = ann.ask(18, string("/inbound/d"), string("/inbound/e"))
    assert refused.code == FAILURE
    assert refused.text == (
        "/inbound/d has more than 10,000 names below it, which is too much for one rename; move what is in it in parts"
    )
    assert ann.ask(18, string("/inbound/d/7"), string("/inbound/e")).code == OK


def test_an_upload_under_way_is_not_renamed(ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    assert "still being uploaded" in ann.ask(18, string("/inbound/a"), string("/inbound/b")).text
    assert ann.close(handle).code == OK
    assert ann.ask(18, string("/inbound/a"), string("/inbound/b")).code == OK


def test_a_directory_with_an_upload_under_way_in_it_stays_where_it_is(desk: Desk, ann: Client) -> None:
    ann.ask(14, string("/inbound/d"), attrs())
    handle = ann.open("/inbound/d/x")
    ann.write_at(handle, 0, b"abc")
    other = desk.sign_in(BOB)
    assert "still being uploaded into /inbound/d" in other.ask(15, string("/inbound/d")).text
    assert "still being uploaded into /inbound/d" in other.ask(18, string("/inbound/d"), string("/inbound/e")).text
    assert ann.ask(3, string("/inbound/d"), u32(W | CREAT | TRUNC), attrs()).code == FAILURE
    assert ann.close(handle).code == OK
    assert other.ask(18, string("/inbound/d"), string("/inbound/e")).code == OK
    assert ann.get("/inbound/e/x") == b"abc"


def test_nothing_is_put_where_the_receipts_of_another_home_would_hide_it(desk: Desk, ann: Client) -> None:
    desk.database.accounts.add(User("sub", "acme", "acme/sub"))
    desk.run(desk.intake.furnish(["acme/sub/receipts", "acme/new/receipts"]))
    refused = ann.ask(3, string("/sub/receipts/x"), u32(W | CREAT), attrs())
    assert refused.code == FAILURE
    assert refused.text.startswith("/sub/receipts/x cannot be written: the server makes what is in receipts/")
    ann.put("/new/receipts/x", b"abc")
    assert ann.ask(18, string("/new/receipts/x"), string("/sub/receipts/x")).text == refused.text


def test_removing_what_is_not_there_is_harmless(ann: Client) -> None:
    assert ann.ask(13, string("/inbound/none")).code == NO_SUCH_FILE


# -- directories


def test_a_home_has_its_standard_directories(ann: Client) -> None:
    handle = ann.ask(11, string("/")).blob
    assert ann.ask(12, string(handle)).names == ["errors", "inbound", "outbound", "receipts"]
    assert ann.ask(12, string(handle)).code == EOF


def test_directories_are_made_listed_and_removed(ann: Client) -> None:
    assert ann.ask(14, string("/inbound/d"), attrs()).code == OK
    assert "exists" in ann.ask(14, string("/inbound/d"), attrs()).text
    ann.put("/inbound/d/a", b"a")
    assert "not empty" in ann.ask(15, string("/inbound/d")).text
    assert ann.ask(13, string("/inbound/d")).code == FAILURE
    assert ann.ask(15, string("/inbound/d/a")).code == FAILURE
    ann.ask(13, string("/inbound/d/a"))
    assert ann.ask(15, string("/inbound/d")).code == OK
    assert "stays" in ann.ask(15, string("/inbound")).text


def test_nothing_is_put_below_a_directory_or_file_that_does_not_hold_it(ann: Client) -> None:
    ann.put("/inbound/file", b"")
    for path, code in [("/inbound/none/a", NO_SUCH_FILE), ("/inbound/file/a", FAILURE)]:
        assert ann.ask(3, string(path), u32(W | CREAT), attrs()).code == code
        assert ann.ask(14, string(path), attrs()).code == code
    assert ann.ask(3, string("/inbound/none"), u32(W), attrs()).code == NO_SUCH_FILE
    assert ann.ask(3, string("/inbound"), u32(W | CREAT), attrs()).code == FAILURE
    assert ann.ask(3, string("/inbound"), u32(R), attrs()).code == FAILURE


def test_a_long_directory_comes_in_pages_and_whole(ann: Client) -> None:
    names = sorted(f"{n:03d}" for n in range(230))
    made = ann.ask_all(*((14, string(f"/inbound/{name}") + attrs()) for name in names))
    assert {reply.code for reply in made} == {OK}
    handle, listed = ann.ask(11, string("/inbound")).blob, []
    while (page := ann.ask(12, string(handle))).code != EOF:
        listed += page.names
    assert listed == names


def test_dots_are_walked_by_what_only_looks(ann: Client) -> None:
    assert ann.ask(16, string("inbound/../outbound/.")).names == ["/outbound"]
    assert ann.ask(16, string("../../..")).names == ["/"]
    assert ann.ask(16, string("")).names == ["/"]
    assert ann.stat("/inbound/..").kind == ann.stat("/").kind == 105
    assert ann.ask(3, string("/inbound/../outbound/a"), u32(W | CREAT), attrs()).code == FAILURE


# -- R10: names


@pytest.mark.parametrize(
    ("name", "why"), [("a\\b", "backslash"), ("a\nb", "control"), ("caf\udce9", "UTF-8"), ("x" * 256, "256")]
)
def test_a_bad_name_is_refused_by_every_verb_with_its_reason(ann: Client, name: str, why: str) -> None:
    ann.put("/inbound/a", b"abc")
    path = string(f"/inbound/{name}")
    for reply in [
        ann.ask(3, path, u32(W | CREAT), attrs()),
        ann.ask(9, path, attrs()),
        ann.ask(11, path),
        ann.ask(13, path),
        ann.ask(14, path, attrs()),
        ann.ask(15, path),
        ann.ask(17, path),
        ann.ask(18, string("/inbound/a"), path),
    ]:
        assert reply.code == FAILURE
        assert why in reply.text


def test_names_are_kept_as_sent_and_compared_by_nfc(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/e\u0301", b"sent decomposed")
    assert ann.get("/inbound/\u00e9") == b"sent decomposed"
    assert desk.files()[0].key == "acme/inbound/e\u0301"


@pytest.mark.parametrize(("kind", "fields"), [(20, 2), (19, 1), (200, 0)])
def test_links_are_refused(ann: Client, kind: int, fields: int) -> None:
    ann.put("/inbound/a", b"abc")
    extra = string("hardlink@openssh.com") + string("/inbound/a") + string("/inbound/b")
    reply = ann.ask(kind, string("/inbound/a") * fields or extra)
    assert reply.code == UNSUPPORTED
    assert ann.stat("/inbound/b").code == NO_SUCH_FILE


# -- misuse


def test_handles_that_are_not_open_are_refused(ann: Client) -> None:
    handle = ann.open("/inbound/a")
    assert ann.close(handle).code == OK
    for kind, fields in [(4, b""), (5, u64(0) + u32(1)), (6, u64(0) + string("x")), (8, b""), (10, attrs()), (12, b"")]:
        reply = ann.ask(kind, string(handle), fields)
        assert (reply.code, "handle" in reply.text) == (FAILURE, True)


def test_a_handle_is_good_for_what_it_was_opened_for(ann: Client) -> None:
    ann.put("/inbound/a", b"abc")
    reading, listing = ann.open("/inbound/a", R), ann.ask(11, string("/inbound")).blob
    assert ann.write_at(reading, 0, b"x").code == DENIED
    assert ann.ask(10, string(reading), attrs(size=0)).code == DENIED
    assert ann.ask(12, string(reading)).code == FAILURE
    assert ann.ask(5, string(listing), u64(0), u32(1)).code == FAILURE
    assert ann.get("/inbound/a") == b"abc"


def test_there_is_a_limit_to_handles(ann: Client) -> None:
    ann.put("/inbound/a", b"abc")
    handles = [ann.open("/inbound/a", R) for _ in range(MAX_HANDLES)]
    assert str(MAX_HANDLES) in ann.ask(3, string("/inbound/a"), u32(R), attrs()).text
    assert str(MAX_HANDLES) in ann.ask(11, string("/inbound")).text
    ann.close(handles[0])
    assert ann.open("/inbound/a", R)


@pytest.mark.parametrize("offset", [2**63 - 1, 2**63, 2**64 - 1])
def test_impossible_offsets_are_refused(ann: Client, offset: int) -> None:
    handle = ann.open("/inbound/a")
    assert ann.write_at(handle, offset, b"x").code == FAILURE
    assert ann.close(handle).code == FAILURE
    handle = ann.open("/inbound/b")
    assert ann.ask(10, string(handle), attrs(size=offset)).code == FAILURE
    assert ann.close(handle).code == FAILURE
    ann.put("/inbound/b", b"")
    reading = ann.open("/inbound/b", R)
    assert ann.ask(5, string(reading), u64(offset), u32(2**32 - 1)).code == EOF


def test_a_read_longer_than_the_limit_is_cut(ann: Client) -> None:
    handle = ann.open("/inbound/a")
    for n in range(3):
        ann.write_at(handle, n * 200_000, bytes(200_000))
    ann.close(handle)
    reply = ann.ask(5, string(ann.open("/inbound/a", R)), u64(0), u32(2**32 - 1))
    assert (reply.kind, len(reply.blob)) == (DATA, codec.MAX_DATA)


def test_a_reader_keeps_the_version_that_it_opened(ann: Client) -> None:
    ann.put("/inbound/a", b"first")
    reading = ann.open("/inbound/a", R)
    ann.put("/inbound/a", b"second")
    assert ann.ask(5, string(reading), u64(0), u32(10)).blob == b"first"


@pytest.mark.parametrize("flags", [R, W | CREAT])
def test_bytes_that_are_missing_are_told_to_the_log_and_no_client_hears_where(
    desk: Desk, ann: Client, caplog: pytest.LogCaptureFixture, flags: int
) -> None:
    ann.put("/inbound/a", b"data")
    (record,) = desk.files()
    desk.store.delete([record.ref])
    reply = ann.ask(3, string("/inbound/a"), u32(flags), attrs())
    assert (reply.code, reply.text) == (FAILURE, "the server failed; try again later")
    assert f"MISSING: the bytes of {record.file_id} are missing" in caplog.text
    assert str(desk.root) in caplog.text


def test_what_is_not_served_is_said(ann: Client) -> None:
    assert ann.ask(99).code == UNSUPPORTED
    assert ann.ask(200, string("check-file@example.com")).code == UNSUPPORTED
    assert ann.ask(17, u32(99)).code == BAD_MESSAGE


def test_a_stream_without_init_is_no_sftp(desk: Desk) -> None:
    client = desk.sign_in()
    session = desk.run(client._open(BOB))

    async def receive() -> None:
        session.receive(packet(17, 1, string("/")))

    with pytest.raises(codec.ProtocolError):
        desk.run(receive())


def test_the_server_says_what_it_can(ann: Client) -> None:
    assert struct.unpack_from(">IBI", ann.version)[1:] == (2, 3)
    for name in ("posix-rename@openssh.com", "statvfs@openssh.com", "fsync@openssh.com", "limits@openssh.com"):
        assert string(name) in ann.version
    limits = struct.unpack(">4Q", ann.ask(200, string("limits@openssh.com")).rest)
    assert limits == (262_144, 261_120, 261_120, MAX_HANDLES)
    space = struct.unpack(">11Q", ann.ask(200, string("statvfs@openssh.com"), string("/")).rest)
    assert space[2] > space[3] > 0
    handle = ann.open("/inbound/a")
    assert ann.ask(200, string("fsync@openssh.com"), string(handle)).code == OK


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(2, 255), st.binary(max_size=60)), min_size=1, max_size=10))
def test_whatever_is_asked_each_request_has_one_answer(desk: Desk, requests: list[tuple[int, bytes]]) -> None:
    client = desk.sign_in()
    client.ask_all(*requests)
    client.leave()


# -- turns


def test_a_close_is_overtaken_by_requests_about_other_names(ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    closed, looked = ann.ask_all((4, string(handle)), (17, string("/inbound")))[::-1]
    assert (closed.code, looked.kind) == (OK, 105)


def test_requests_about_a_name_wait_for_its_close(ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    order = ann.ask_all(
        (4, string(handle)),
        (17, string("/inbound/a")),
        (18, string("/inbound/a") + string("/inbound/b")),
        (17, string("/inbound/b")),
        (13, string("/inbound/b")),
        (17, string("/inbound/b")),
    )
    assert [reply.id for reply in order] == sorted(reply.id for reply in order)
    assert [order[1].size, order[3].size] == [3, 3]
    assert [order[n].code for n in (0, 2, 4, 5)] == [OK, OK, OK, NO_SUCH_FILE]


def test_pipelined_uploads_are_all_answered(desk: Desk, ann: Client) -> None:
    handles = [ann.open(f"/inbound/{n}") for n in range(100)]
    ann.ask_all(*[(6, string(handle) + u64(0) + string("x")) for handle in handles])
    assert {reply.code for reply in ann.ask_all(*[(4, string(handle)) for handle in handles])} == {OK}
    assert desk.database.catalog.counts().files[Status.UPLOADED] == 100


def test_reading_stops_while_too_much_is_under_way(desk: Desk, ann: Client) -> None:
    size = 200_000
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, bytes(size))
    ann.close(handle)
    reading = ann.open("/inbound/a", R)
    ann.written.clear()
    many = 4 * MAX_UNFINISHED
    ann.send(b"".join(packet(5, n, string(reading), u64(0), u32(size)) for n in range(many)))
    assert ann.is_paused
    every = many * (len(packet(103, 0, u32(size))) + size)
    ann.until(lambda: sum(map(len, ann.written)) >= every, seconds=60)
    assert len(ann.got()) == many
    assert not ann.is_paused
    assert max(len(written) for written in ann.written) < 2 * MAX_PROMISED


def test_nothing_is_served_while_the_client_takes_nothing(desk: Desk, ann: Client) -> None:
    async def congest(is_congested: bool) -> None:
        ann.session.congest(is_congested)

    desk.run(congest(True))
    ann.written.clear()
    ann.send(packet(17, 1, string("/")))
    assert (ann.is_paused, ann.written) == (True, [])
    desk.run(congest(False))
    ann.until(lambda: ann.written)
    assert not ann.is_paused


def test_a_flood_is_served_in_turns_that_leave_room_for_others(desk: Desk, ann: Client) -> None:
    many = 20_000
    held: list[float] = []  # seconds that the flood kept the loop from others

    async def flood() -> None:
        ann.session.receive(b"".join(packet(17, n, string("/inbound")) for n in range(many)))
        while ann.session.is_busy:
            begun = time.perf_counter()
            await asyncio.sleep(0)
            held.append(time.perf_counter() - begun)

    ann.written.clear()
    desk.run(flood())
    assert [reply.id for reply in ann.got()] == list(range(many))
    assert len(held) > 3
    assert sorted(held)[len(held) // 2] < 4 * TURN
    assert not ann.is_paused


def test_the_replies_of_a_turn_are_bounded(desk: Desk, ann: Client) -> None:
    desk.run(desk.intake.furnish([f"acme/long/{'n' * 200}-{n}" for n in range(300)]))
    handles = [ann.ask(11, string("/long")).blob for _ in range(100)]
    ann.written.clear()
    ann.send(b"".join(packet(12, n, string(handle)) for n, handle in enumerate(handles)))
    ann.until(lambda: len(ann.got()) == 100)
    assert max(map(len, ann.written)) < 2 * TURN_REPLIES


def test_the_end_waits_for_a_flood(desk: Desk, ann: Client) -> None:
    ann.written.clear()
    ann.send(b"".join(packet(17, n, string("/inbound")) for n in range(5000)))
    ann.leave()
    assert len(ann.got()) == 5000


def test_the_end_waits_for_what_was_asked(desk: Desk, ann: Client) -> None:
    handle = ann.open("/inbound/a")
    ann.written.clear()
    ann.send(packet(6, 1, string(handle), u64(0), string("abc")) + packet(4, 2, string(handle)))
    ann.leave()
    assert [reply.code for reply in ann.got()] == [OK, OK]
    assert len(desk.files()) == 1


# -- two at once, and trouble


def test_two_sessions_on_one_name_make_two_versions_that_do_not_mix(desk: Desk, ann: Client) -> None:
    bob = desk.sign_in(BOB)
    one, two = ann.open("/inbound/a"), bob.open("/inbound/a")
    for n in range(3):
        ann.write_at(one, n, b"a")
        bob.write_at(two, n, b"b")
    assert ann.close(one).code == bob.close(two).code == OK
    assert [desk.content(record) for record in desk.files()] == [b"aaa", b"bbb"]
    assert ann.get("/inbound/a") == b"bbb"


def test_an_upload_under_way_is_not_resumed_by_another_session(desk: Desk, ann: Client) -> None:
    one = ann.open("/inbound/a")
    ann.write_at(one, 0, b"aaa")
    desk.run(desk.intake.mark(list(desk.intake)))
    second = desk.sign_in()
    two = second.open("/inbound/a", W | CREAT)
    assert second.write_at(two, 3, b"x").code == FAILURE
    third = desk.sign_in()
    third.put("/inbound/a", b"whole", W | CREAT)
    ann.write_at(one, 3, b"aaa")
    assert ann.close(one).code == OK
    assert [desk.content(record) for record in desk.files()] == [b"whole", b"aaaaaa"]


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "impatient", patience_s=0.1)
    yield desk
    desk.close()


def test_a_busy_ledger_fails_the_close_and_the_retry_is_the_only_arrival(impatient: Desk) -> None:
    ann = impatient.sign_in()
    handle = ann.open("/inbound/a")
    ann.write_at(handle, 0, b"abc")
    other = apsw.Connection(str(impatient.root / "ledger.db"))
    other.execute("BEGIN IMMEDIATE")
    refused: Reply = ann.close(handle)
    other.execute("ROLLBACK")
    other.close()
    assert refused.code == FAILURE
    assert "try again" in refused.text
    ann.put("/inbound/a", b"abc")
    assert [impatient.content(record) for record in impatient.files()] == [b"abc"]
    assert not list(impatient.intake)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "full", min_free=1 << 60)
    yield desk
    desk.close()


def test_no_upload_begins_where_there_is_no_room(full: Desk) -> None:
    reply = full.sign_in().ask(3, string("/inbound/a"), u32(W | CREAT | TRUNC), attrs())
    assert (reply.code, "no room" in reply.text) == (FAILURE, True)
    assert full.staging.ids() == []


def test_an_upload_under_way_ends_where_room_does(full: Desk) -> None:
    ann = full.sign_in()
    full.intake.min_free = 0
    handle = ann.open("/inbound/a")
    full.intake.min_free = 1 << 60
    piece = bytes(codec.MAX_DATA)
    written = [ann.write_at(handle, n * len(piece), piece) for n in range(STRIDE // len(piece) + 2)]
    assert written[0].code == OK
    assert (written[-1].code, written[-1].text) == (FAILURE, ann.close(handle).text)
    assert "no room" in written[-1].text
    assert full.files() == []


def test_who_has_the_handle_of_an_answer_knows_its_kind(ann: Client) -> None:
    assert ann.ask(11, string("/inbound")).kind == HANDLE


def test_a_slow_disk_holds_up_the_large_upload_and_nobody_else(
    desk: Desk, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write, pwrite, piece = threading.Event(), os.pwrite, bytes(128 << 10)
    handle = ann.open("/inbound/large")
    for at in range(0, 1 << 20, len(piece)):
        ann.write_at(handle, at, piece)
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: may_write.wait(10) and pwrite(fd, data, at))
    writes = [(6, string(handle) + u64(at) + string(piece)) for at in range(1 << 20, 5 << 20, len(piece))]
    ann.written.clear()
    for kind, fields in writes:
        ann.send(packet(kind, ann.next_id(), fields))
    answered = len(ann.got())
    assert answered < len(writes)
    assert desk.sign_in().ask(17, string("/inbound")).kind == 105
    may_write.set()
    ann.until(lambda: len(ann.got()) == len(writes))
    assert ann.close(handle).code == OK
    assert [file.size for file in desk.files()] == [5 << 20]


def test_a_slow_store_holds_up_who_goes_on_with_a_file_and_nobody_else(
    desk: Desk, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann.put("/inbound/a", b"abcdef")
    may_open, opened = threading.Event(), desk.store.open
    monkeypatch.setattr(desk.store, "open", lambda ref: may_open.wait(10) and opened(ref))
    ann.written.clear()
    ann.send(packet(3, ann.next_id(), string("/inbound/a") + u32(W) + attrs()))
    assert ann.got() == []
    assert desk.sign_in().stat("/inbound").kind == 105
    may_open.set()
    ann.until(ann.got)
    (reply,) = ann.got()
    ann.write_at(reply.blob, 1, b"B")
    assert ann.close(reply.blob).code == OK
    assert desk.content(desk.files()[1]) == b"aBcdef"


def test_a_large_upload_whose_sync_failed_is_sent_again_whole(
    desk: Desk, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, failed = disk.sync, list[int]()

    def fails_once(fd: int) -> None:
        if not failed and "/staging/" in os.readlink(f"/proc/self/fd/{fd}"):
            failed.append(fd)
            raise OSError(errno.EIO, "Input/output error")
        sync(fd)

    handle = ann.open("/inbound/large")
    for at in range(0, 2 << 20, 128 << 10):
        ann.write_at(handle, at, bytes(128 << 10))
    monkeypatch.setattr(disk, "sync", fails_once)
    assert ann.close(handle).code == FAILURE
    assert failed
    assert desk.database.namespace.look(["acme/inbound/large"]) == [None]
    assert desk.staging.ids() == []


def test_one_upload_that_cannot_be_kept_does_not_hold_on_to_the_others(
    desk: Desk, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        ann.write_at(ann.open(f"/inbound/{n}"), 0, b"abc")
    park, calls = Staged.park, itertools.count()

    def park_or_fail(self: Staged) -> int:
        if not next(calls):
            raise RuntimeError("a bug")
        return park(self)

    monkeypatch.setattr(Staged, "park", park_or_fail)
    ann.leave()
    assert list(desk.intake) == []
    kept = desk.database.namespace.look([f"acme/inbound/{n}" for n in range(3)])
    assert [entry is not None and entry.size for entry in kept] == [False, 3, 3]
