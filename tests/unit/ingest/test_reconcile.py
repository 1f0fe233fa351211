"""The reconciler over a folder: what lies there is in custody, once, whoever asks for a look and however often."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rig.drop import Drop
from wharfinger.errors import LedgerError, SourceError, WharfingerError
from wharfinger.ingest import Answers, Upload
from wharfinger.ingest.account import accounts, record
from wharfinger.ingest.folder import ASIDE
from wharfinger.ingest.reconcile import TELL_S


@pytest.fixture
def drop(tmp_path: Path) -> Iterator[Drop]:
    with Drop(tmp_path) as drop:
        yield drop


def figures(drop: Drop, *, dry: bool = False) -> dict[str, int]:
    account = drop.look(dry=dry)
    return {name: getattr(account, name) for name in ("listed", "in_custody", "landed", "waiting", "unaccounted")}


def test_what_is_whole_is_landed_once_and_its_original_goes(drop: Drop) -> None:
    drop.write("a.csv", b"one")
    drop.write("sub/b.csv", b"")
    assert figures(drop) == {"listed": 2, "in_custody": 2, "landed": 2, "waiting": 0, "unaccounted": 0}
    assert drop.custody() == [("acme/inbound/a.csv", b"one"), ("acme/inbound/sub/b.csv", b"")]
    assert (drop.left(), drop.staged()) == ([], [])
    assert figures(drop)["listed"] == 0
    assert sorted(drop.hinted) == sorted(record.file_id for record in drop.records())


def test_a_record_says_where_the_file_came_from(drop: Drop) -> None:
    path = drop.write("a.csv", b"a,b\n1,2\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    drop.look()
    (record,) = drop.records()
    assert (record.source, record.customer_id, record.media_type) == ("folder", "acme", "text/csv")
    (entry,) = drop.database.namespace.look(["acme/inbound/a.csv"])
    assert entry is not None
    assert entry.mtime == 1_700_000_000


def test_what_is_kept_is_landed_once_also_after_a_restart(tmp_path: Path) -> None:
    with Drop(tmp_path, original="keep") as drop:
        drop.write("a.csv", b"one")
        drop.look()
        assert figures(drop)["landed"] == 0
        drop.anew()
        assert figures(drop) == {"listed": 1, "in_custody": 1, "landed": 0, "waiting": 0, "unaccounted": 0}
        assert drop.custody() == [("acme/inbound/a.csv", b"one")]


def test_what_is_kept_and_changes_only_outwardly_is_no_new_file(tmp_path: Path) -> None:
    with Drop(tmp_path, original="keep") as drop:
        path = drop.write("a.csv", b"one")
        drop.look()
        path.chmod(0o600)
        assert figures(drop) == {"listed": 1, "in_custody": 1, "landed": 0, "waiting": 0, "unaccounted": 0}
        path.write_bytes(b"two")
        assert figures(drop)["landed"] == 1
        assert [data for _, data in drop.custody()] == [b"one", b"two"]


def test_the_same_bytes_dropped_again_are_a_new_file(drop: Drop) -> None:
    for _ in range(2):
        drop.write("a.csv", b"one")
        assert figures(drop)["landed"] == 1
    assert len(drop.records()) == 2


def test_the_newest_is_what_the_customers_tree_shows(drop: Drop) -> None:
    """Even where its sender gave it the time of an old file."""
    for data in (b"one", b"three"):
        os.utime(drop.write("a.csv", data), (1_000_000_000 - len(data), 1_000_000_000 - len(data)))
        drop.look()
    (entry,) = drop.database.namespace.look(["acme/inbound/a.csv"])
    assert entry is not None
    assert entry.size == 5


def test_what_is_not_whole_waits_and_counts_when_it_is_late(tmp_path: Path) -> None:
    with Drop(tmp_path, complete="marker", late_s=60.0) as drop:
        drop.write("a.csv")
        assert figures(drop) == {"listed": 1, "in_custody": 0, "landed": 0, "waiting": 1, "unaccounted": 0}
        drop.later(100)
        account = drop.look()
        assert (account.waiting, account.unaccounted) == (0, 1)
        assert account.problems[0].code == "LATE"


def test_a_look_that_takes_long_tells_how_far_it_has_come(drop: Drop) -> None:
    for n in range(200):
        drop.write(f"{n}.csv")
    land, told = drop.land, []

    def slowly(uploads: Sequence[Upload]) -> Answers:
        drop.later(TELL_S)
        return land(uploads)

    drop.land = slowly
    last = drop.look(seen=told.append)
    assert [(each.landed, each.waiting, each.unaccounted) for each in told] == [(64, 136, 0), (128, 72, 0), (192, 8, 0)]
    assert (last.landed, last.waiting) == (200, 0)
    assert [each.at for each in told] == sorted({each.at for each in told})


def test_what_cannot_be_taken_is_unaccounted_for_and_told(drop: Drop, tmp_path: Path) -> None:
    (drop.path / "link").symlink_to(tmp_path)
    drop.write("back\\slash")
    drop.write("good")
    account = drop.look()
    assert (account.landed, account.unaccounted) == (1, 2)
    assert {(each.file, each.code) for each in account.problems} == {
        ("link", "NAME_UNSAFE"),
        ("back\\slash", "NAME_UNSAFE"),
    }
    assert all(each.fix for each in account.problems)


def test_a_name_that_is_no_text_is_told_so_that_it_can_be_kept(drop: Drop, tmp_path: Path) -> None:
    os.close(os.open(os.fsencode(drop.path) + b"/caf\xe9.csv", os.O_CREAT, 0o600))
    os.mkdir(os.fsencode(drop.path) + b"/\xe9")
    drop.write("good")
    account = drop.look()
    assert (account.landed, account.unaccounted) == (1, 2)
    record(tmp_path, account)
    assert [(each.file, each.code) for each in accounts(tmp_path)[0].problems] == [
        ("caf\\udce9.csv", "NAME_UNSAFE"),
        ("\\udce9", "NAME_UNSAFE"),
    ]


def test_a_name_that_is_a_folder_in_the_tree_is_told(drop: Drop) -> None:
    drop.write("a/b.csv")
    drop.look()
    (drop.path / "a").rmdir()
    drop.write("a", b"a file now")
    account = drop.look()
    assert [(each.code, each.file) for each in account.problems] == [("NAME_TAKEN", "a")]
    assert drop.left() == ["a"]


def test_a_name_below_the_receipts_is_told(tmp_path: Path) -> None:
    with Drop(tmp_path, prefix="receipts/") as drop:
        drop.write("a.csv")
        account = drop.look()
        assert [(each.code, each.file) for each in account.problems] == [("NAME_RESERVED", "a.csv")]
        assert (drop.left(), drop.records(), account.unaccounted) == (["a.csv"], [], 1)


def test_a_disk_without_room_leaves_all_where_it_is(drop: Drop) -> None:
    drop.write("a.csv")
    drop.anew(min_free=1 << 60)
    account = drop.look()
    assert ([each.code for each in account.problems], account.unaccounted) == (["NO_SPACE"], 1)
    assert (drop.left(), drop.records(), drop.staged()) == (["a.csv"], [], [])


def test_a_dry_look_changes_nothing(drop: Drop) -> None:
    drop.write("a.csv")
    assert figures(drop, dry=True) == {"listed": 1, "in_custody": 0, "landed": 0, "waiting": 0, "unaccounted": 1}
    assert (drop.left(), drop.records()) == (["a.csv"], [])


def test_a_ledger_that_refuses_costs_a_later_look(drop: Drop) -> None:
    honest = drop.land

    def refuse(_: Sequence[Upload]) -> Answers:
        raise LedgerError("no")

    drop.write("a.csv", b"one")
    drop.land = refuse
    with pytest.raises(LedgerError):
        drop.look()
    assert (drop.left(), drop.staged()) == (["a.csv"], [])
    drop.land = honest
    assert figures(drop)["landed"] == 1


def test_a_file_that_is_refused_hinders_no_other(drop: Drop) -> None:
    honest = drop.land

    def refuse_one(uploads: Sequence[Upload]) -> Answers:
        kept = [upload for upload in uploads if not upload.key.endswith("bad.csv")]
        answers = iter(honest(kept))
        return [next(answers) if upload in kept else WharfingerError("no", fix="yes") for upload in uploads]

    for name in ("a.csv", "bad.csv", "c.csv"):
        drop.write(name)
    drop.land = refuse_one
    account = drop.look()
    assert (account.landed, account.unaccounted, drop.left()) == (2, 1, ["bad.csv"])


def test_a_landed_file_whose_original_a_crash_left_is_not_landed_again(drop: Drop) -> None:
    """A crash between custody and removal: what a look finds is known, and goes."""
    drop.write("a.csv", b"one")
    drop.folder.release = _die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        drop.look()
    assert drop.left() == ["a.csv"]
    drop.anew()
    assert figures(drop) == {"listed": 1, "in_custody": 1, "landed": 0, "waiting": 0, "unaccounted": 0}
    assert (drop.left(), len(drop.records())) == ([], 1)


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_original_aside_that_no_ledger_knows_is_told_and_stays(drop: Drop) -> None:
    drop.write(f"{ASIDE}01K1F9Z0000000000000000000/a.csv", b"one")
    account = drop.look()
    assert ([each.code for each in account.problems], account.unaccounted) == (["UNKNOWN_ORIGINAL"], 1)
    assert len(drop.left()) == 1


def test_two_that_look_at_once_land_each_file_once(tmp_path: Path) -> None:
    """As `wharf reconcile` beside `wharf serve`."""
    with Drop(tmp_path) as one, Drop(tmp_path) as other:
        for n in range(50):
            one.write(f"{n}.csv", b"%d" % n)
        honest = one.land

        def slowly(uploads: Sequence[Upload]) -> Answers:
            other.look()
            return honest(uploads)

        one.land = slowly
        one.look()
        assert len(one.records()) == 50
        assert (one.left(), one.look().unaccounted) == ([], 0)
        assert not list(one.path.iterdir())


def test_a_file_that_is_overwritten_while_it_lands_is_landed_as_both(drop: Drop) -> None:
    honest = drop.land

    def overwriting(uploads: Sequence[Upload]) -> Answers:
        answers = honest(uploads)
        drop.replace("a.csv", b"two")
        drop.land = honest
        return answers

    drop.write("a.csv", b"one")
    drop.land = overwriting
    drop.look()
    assert drop.left() == ["a.csv"]
    time.sleep(0.02)
    drop.look()
    assert drop.custody() == [("acme/inbound/a.csv", b"one"), ("acme/inbound/a.csv", b"two")]
    assert drop.left() == []


def test_a_folder_that_is_gone_raises(drop: Drop) -> None:
    drop.path.rmdir()
    with pytest.raises(SourceError):
        drop.look()
