"""Receipts in the sender's own tree: files that nobody stores and nobody can change."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rig.databases import START, an_arrival, claimed, failed, quarantined, transferred
from rig.packets import CREAT, EOF, FAILURE, HANDLE, NAME, NO_SUCH_FILE, TRUNC, R, W, attrs, string, u32
from rig.sessions import ANN, BUCKET, Client, Desk
from wharfinger.ingest.sftp.receipts import Receipts
from wharfinger.ledger import User, receipt, signature
from wharfinger.ledger.keyring import Keyring
from wharfinger.model import FileRecord

TODAY = time.strftime("%Y-%m-%d", time.gmtime())  # a test that runs over midnight is run again


@pytest.fixture
def ann(desk: Desk) -> Client:
    return desk.sign_in()


def names(client: Client, path: str) -> list[str]:
    """All names of a directory, over as many pages as it takes."""
    opened = client.ask(11, string(path))
    assert opened.kind == HANDLE, opened.text
    found: list[str] = []
    while (page := client.ask(12, string(opened.blob))).code != EOF:
        found += page.names
    client.close(opened.blob)
    return found


def path_of(record: FileRecord, kind: str) -> str:
    return f"/receipts/{TODAY}/{record.key.rpartition('/')[2]}~{record.file_id}.{kind}.json"


def end(desk: Desk, outcome: object = transferred) -> None:
    desk.database.ledger.settle([outcome(claimed(desk.database.ledger))])  # type: ignore[operator]


def test_a_file_that_has_arrived_has_a_receipt_of_its_day(desk: Desk, ann: Client) -> None:
    assert names(ann, "/receipts") == []
    ann.put("/inbound/a.csv", b"a,b\n")
    (record,) = desk.files()
    assert names(ann, "/receipts") == [TODAY]
    assert names(ann, f"/receipts/{TODAY}") == [f"a.csv~{record.file_id}.arrival.json"]
    signed = signature.read(ann.get(path_of(record, "arrival")))
    assert Keyring(desk.root).holds(signed)
    events = desk.database.catalog.events(record.file_id)
    assert signed.statement == receipt.arrival(record, events[0].hash)
    assert (signed.statement["size"], signed.statement["sha256"]) == (4, record.sha256)


@pytest.mark.parametrize("outcome", [transferred, quarantined, failed])
def test_a_file_that_has_ended_has_two_whose_sizes_are_true(desk: Desk, ann: Client, outcome: object) -> None:
    ann.put("/inbound/Überweisung \N{CHECK MARK}.csv", b"a,b\n")
    end(desk, outcome)
    (record,) = desk.files()
    assert len(names(ann, f"/receipts/{TODAY}")) == 2
    arrival, ended = (ann.get(path_of(record, kind)) for kind in ("arrival", "outcome"))
    assert ann.stat(path_of(record, "arrival")).size == len(arrival)
    assert ann.stat(path_of(record, "outcome")).size == len(ended)
    stated = signature.read(ended).statement
    assert stated["arrival"] == signature.digest(signature.read(arrival).statement)
    assert stated["status"] == record.status


def test_two_readings_are_the_same_bytes(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a.csv", b"a,b\n")
    (record,) = desk.files()
    assert ann.get(path_of(record, "arrival")) == desk.sign_in().get(path_of(record, "arrival"))


def test_after_a_rotation_receipts_are_signed_anew_and_old_ones_hold(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a.csv", b"a,b\n")
    (record,) = desk.files()
    before = signature.read(ann.get(path_of(record, "arrival")))
    Keyring(desk.root).rotate()
    after = signature.read(ann.get(path_of(record, "arrival")))
    assert before.statement == after.statement
    assert before.key != after.key
    assert all(map(Keyring(desk.root).holds, (before, after)))


def test_every_version_has_its_own(desk: Desk, ann: Client) -> None:
    for data in (b"one", b"two"):
        ann.put("/inbound/a.csv", data)
    found = names(ann, f"/receipts/{TODAY}")
    assert found == [f"a.csv~{record.file_id}.arrival.json" for record in reversed(desk.files())]


def test_a_long_name_is_cut_to_what_fits(desk: Desk, ann: Client) -> None:
    long = "ü" * 120 + ".csv"
    ann.put(f"/inbound/{long}", b"x")
    end(desk)
    found = names(ann, f"/receipts/{TODAY}")
    assert len(found) == 2
    assert all(len(name.encode()) <= 255 for name in found)
    for name in found:
        assert signature.read(ann.get(f"/receipts/{TODAY}/{name}")).statement["file_id"] in name


def test_nothing_below_can_be_written_moved_or_removed(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a.csv", b"a,b\n")
    ann.put("/outbound/b.csv", b"a,b\n")
    record = desk.files()[0]
    there, day = path_of(record, "arrival"), f"/receipts/{TODAY}"
    for path in (there, f"{day}/new", "/receipts/new"):
        refused = ann.ask(3, string(path), u32(W | CREAT | TRUNC), attrs())
        assert (refused.code, "the server makes" in refused.text) == (FAILURE, True)
        assert ann.ask(14, string(path), attrs()).code == FAILURE  # MKDIR
        assert ann.ask(18, string("/outbound/b.csv"), string(path)).code == FAILURE  # RENAME to
    for kind, path in ((13, there), (15, day)):  # REMOVE, RMDIR
        assert ann.ask(kind, string(path)).code == FAILURE
    assert ann.ask(18, string(there), string("/outbound/c")).code == FAILURE
    assert ann.ask(9, string(there), attrs(mtime=5)).code == FAILURE  # SETSTAT
    assert signature.read(ann.get(there)).statement["file_id"] == record.file_id


@pytest.mark.parametrize(
    "path",
    [
        "/receipts/2026-13-45",
        "/receipts/1999-01-01",
        "/receipts/today",
        f"/receipts/{TODAY}/none",
        f"/receipts/{TODAY}/a.csv~00000000000000000000000000.arrival.json",
        f"/receipts/{TODAY}/a/b",
    ],
)
def test_what_is_not_there_is_not_found(desk: Desk, ann: Client, path: str) -> None:
    ann.put("/inbound/a.csv", b"a,b\n")
    assert ann.stat(path).code == NO_SUCH_FILE
    assert ann.ask(3, string(path), u32(R), attrs()).code == NO_SUCH_FILE


def test_the_name_must_be_the_whole_name(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a.csv", b"a,b\n")
    (record,) = desk.files()
    good = path_of(record, "arrival")
    assert ann.stat(good).code != NO_SUCH_FILE
    assert ann.stat(good.replace("a.csv", "b.csv")).code == NO_SUCH_FILE
    assert ann.stat(good.replace(TODAY, "2020-01-01")).code == NO_SUCH_FILE
    assert ann.stat(path_of(record, "outcome")).code == NO_SUCH_FILE


def test_nobody_sees_the_receipts_of_another_customer(desk: Desk, ann: Client) -> None:
    ann.put("/inbound/a.csv", b"a,b\n")
    (record,) = desk.files()
    eve = desk.sign_in(User("eve", "umbrella", "umbrella"))
    assert eve.stat(path_of(record, "arrival")).code == NO_SUCH_FILE
    assert eve.stat(f"/../acme{path_of(record, 'arrival')}").code == NO_SUCH_FILE


def test_who_sees_a_part_of_the_tree_sees_the_receipts_of_that_part(desk: Desk) -> None:
    north = User("north", "acme", "acme/n*rth")
    for key in ("acme/inbound/a", "acme/n*rth/inbound/b", "acme/north/inbound/c"):
        assert desk.database.ledger.arrive([an_arrival(key, bucket=BUCKET)]) == [True]
    seen = Receipts(north, desk.database.catalog, Keyring(desk.root))
    (day,) = seen.children(seen.root)
    (entry,) = seen.children(day.path)
    assert entry.path.startswith("acme/n*rth/receipts/2025-06-15/b~")
    assert seen.look(entry.path) == entry
    whole = Receipts(ANN, desk.database.catalog, Keyring(desk.root))
    theirs = [each.path for each in whole.children("acme/receipts/2025-06-15")]
    assert len(theirs) == 3
    for path in theirs:
        hidden = path.replace("acme/receipts", seen.root)
        assert (seen.look(hidden) is None) == (hidden != entry.path)


def test_days_and_files_come_in_pages(desk: Desk) -> None:
    for n in range(7):
        arrivals = [an_arrival(bucket=BUCKET, at=START + n * 86400 + k) for k in range(5)]
        assert all(desk.database.ledger.arrive(arrivals))
        desk.database.ledger.settle([transferred(run) for run in desk.database.ledger.claim("w", 3, 30)])
    seen = Receipts(ANN, desk.database.catalog, Keyring(desk.root))
    days = paged(seen, seen.root, limit=3)
    assert days == [f"2025-06-{day}" for day in range(21, 14, -1)]
    for day in days:
        found = paged(seen, f"{seen.root}/{day}", limit=4)
        assert len(found) == len(set(found))
        assert sum(name.endswith(".arrival.json") for name in found) == 5
    assert seen.children(f"{seen.root}/nothing") == []


def paged(seen: Receipts, path: str, *, limit: int) -> list[str]:
    found: list[str] = []
    after = ""
    while page := seen.children(path, limit=limit, after=after):
        assert len(page) <= limit
        found += [entry.path.rpartition("/")[2] for entry in page]
        after = found[-1]
    return found


def test_pages_that_are_asked_for_at_once_have_each_name_once(desk: Desk, ann: Client) -> None:
    today = time.time()
    for _ in range(5):
        desk.database.ledger.arrive([an_arrival(bucket=BUCKET, at=today) for _ in range(100)])
    handle = ann.ask(11, string(f"/receipts/{TODAY}")).blob
    pages = ann.ask_all(*[(12, string(handle))] * 12)
    found = [name for page in pages if page.kind == NAME for name in page.names]
    assert len(found) == len(set(found)) == 500


def test_a_listing_shows_them_as_read_only(desk: Desk, ann: Client, tmp_path: Path) -> None:
    ann.put("/inbound/a.csv", b"a,b\n")
    for path, mode in (("/receipts", "dr-xr-xr-x"), (f"/receipts/{TODAY}", "-r--r--r--")):
        handle = ann.ask(11, string(path)).blob
        assert mode.encode() in ann.ask(12, string(handle)).rest
