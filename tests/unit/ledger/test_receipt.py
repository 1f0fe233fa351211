"""What receipts state, of files in every place of their lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rig.databases import SHA256, START, Clock, an_arrival, claimed, failed, quarantined, retried, transferred
from wharfinger.ledger import Database, receipt, signature
from wharfinger.ledger.receipt import Receipts
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import Arrival, FileRecord, Outcome, Run, Status


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path, clock: Clock) -> Iterator[Database]:
    database = SqliteDatabase(tmp_path / "ledger.db", clock=clock)
    yield database
    database.close()


@pytest.fixture
def arrival(database: Database) -> Arrival:
    arrival = an_arrival("acme/inbound/a.csv", user="ann", source="sftp", media_type="text/csv")
    database.ledger.arrive([arrival])
    return arrival


def record(database: Database, arrival: Arrival) -> FileRecord:
    found = database.catalog.file(arrival.file_id)
    assert found
    return found


def receipts(database: Database, arrival: Arrival) -> Receipts:
    return receipt.receipts(record(database, arrival), database.catalog.events(arrival.file_id))


def test_an_arrival_is_stated_with_all_that_the_sender_knows_of_it(database: Database, arrival: Arrival) -> None:
    found = receipts(database, arrival)
    assert found.arrival == {
        "type": "wharfinger.arrival/1",
        "file_id": arrival.file_id,
        "bucket": "inbox",
        "key": "acme/inbound/a.csv",
        "version": arrival.version,
        "size": 1000,
        "sha256": SHA256,
        "media_type": "text/csv",
        "customer": "acme",
        "user": "ann",
        "source": "sftp",
        "received": "2025-06-15T15:06:40.000000Z",
        "event": database.catalog.events(arrival.file_id)[0].hash,
    }
    assert found.outcome is None


def test_an_outcome_names_the_arrival_and_what_was_delivered(database: Database, arrival: Arrival) -> None:
    database.ledger.settle([transferred(claimed(database.ledger))])
    found = receipts(database, arrival)
    assert found.outcome == {
        "type": "wharfinger.outcome/1",
        "file_id": arrival.file_id,
        "arrival": signature.digest(found.arrival),
        "status": "transferred",
        "code": "",
        "reason": "",
        "deliveries": [
            {
                "destination": "archive",
                "key": "acme/inbound/a.csv",
                "version": "V1",
                "size": 2000,
                "sha256": SHA256,
                "at": "2025-06-15T15:06:45.000000Z",
            }
        ],
        "delivered_in_all": 1,
        "ended": "2025-06-15T15:06:40.000000Z",
        "event": database.catalog.events(arrival.file_id)[-1].hash,
    }


def test_an_outcome_counts_what_it_does_not_name(database: Database, arrival: Arrival) -> None:
    database.ledger.settle([replace(transferred(claimed(database.ledger)), unnamed=9_900)])
    found, expected = receipts(database, arrival).outcome, receipt.expected(record(database, arrival))
    assert found
    assert expected
    assert (len(found["deliveries"]), found["delivered_in_all"]) == (1, 9_901)
    assert signature.size(expected) == signature.size(found)


def test_of_an_end_that_does_not_count_an_earlier_version_stated_no_number(
    database: Database, arrival: Arrival
) -> None:
    database.ledger.settle([transferred(claimed(database.ledger))])
    *before, end = database.catalog.events(arrival.file_id)
    old = replace(end, data={name: told for name, told in end.data.items() if name != "delivered_in_all"})
    found = receipt.receipts(record(database, arrival), [*before, old]).outcome
    assert found
    assert (len(found["deliveries"]), "delivered_in_all" in found) == (1, False)
    expected = receipt.expected(replace(record(database, arrival), delivered_in_all=None))
    assert expected
    assert signature.size(expected) == signature.size(found)


def test_the_reason_is_told_where_the_bytes_are_at_fault_only(database: Database, arrival: Arrival) -> None:
    database.ledger.settle([quarantined(claimed(database.ledger))])
    outcome = receipts(database, arrival).outcome
    assert outcome
    assert (outcome["status"], outcome["code"], outcome["reason"]) == ("quarantined", "MALFORMED", "not gzip")
    database.ledger.replay([arrival.file_id])
    database.ledger.settle([failed(claimed(database.ledger))])
    outcome = receipts(database, arrival).outcome
    assert outcome
    assert (outcome["status"], outcome["code"], outcome["reason"]) == ("failed", "UNREACHABLE", "")


def test_a_replay_takes_the_outcome_back_until_the_file_ends_again(database: Database, arrival: Arrival) -> None:
    database.ledger.settle([quarantined(claimed(database.ledger))])
    before = receipts(database, arrival)
    database.ledger.replay([arrival.file_id])
    assert receipts(database, arrival) == Receipts(before.arrival, None)
    run = claimed(database.ledger)
    database.ledger.settle([retried(run, START)])
    assert receipts(database, arrival).outcome is None
    database.ledger.settle([transferred(claimed(database.ledger))])
    after = receipts(database, arrival)
    assert after.arrival == before.arrival
    assert after.outcome
    assert after.outcome["status"] == "transferred"


def test_what_happens_to_the_name_changes_no_receipt(database: Database, arrival: Arrival) -> None:
    database.ledger.settle([transferred(claimed(database.ledger))])
    before = receipts(database, arrival)
    database.namespace.rename(arrival.key, "acme/inbound/b.csv")
    database.namespace.remove("acme/inbound/b.csv")
    assert receipts(database, arrival) == before


def test_the_record_alone_tells_how_long_each_receipt_is(database: Database, arrival: Arrival, clock: Clock) -> None:
    for outcome in (transferred, quarantined, failed):
        clock.forward(0.123456)
        database.ledger.settle([outcome(claimed(database.ledger))])
        found, known = receipts(database, arrival), record(database, arrival)
        assert signature.size(receipt.arrival(known)) == signature.size(found.arrival)
        expected = receipt.expected(known)
        assert expected
        assert found.outcome
        assert signature.size(expected) == signature.size(found.outcome)
        assert expected | {name: found.outcome[name] for name in ("arrival", "event", "ended")} == found.outcome
        database.ledger.replay([arrival.file_id])


@pytest.mark.parametrize("before", [None, transferred, failed, quarantined])
def test_the_outcome_of_a_cancelled_file_is_as_long_as_its_record_tells(
    database: Database, arrival: Arrival, before: Callable[[Run], Outcome] | None
) -> None:
    if before:
        database.ledger.settle([before(claimed(database.ledger))])
    if before is transferred:
        database.ledger.replay([arrival.file_id])
    database.ledger.cancel([arrival.file_id], "ann")
    found, expected = receipts(database, arrival).outcome, receipt.expected(record(database, arrival))
    assert found
    assert expected
    assert signature.size(expected) == signature.size(found)
    assert expected | {name: found[name] for name in ("arrival", "event", "ended")} == found


def test_a_file_in_work_is_expected_to_have_no_outcome(database: Database, arrival: Arrival) -> None:
    known = record(database, arrival)
    assert receipt.expected(known) is None
    assert receipt.expected(replace(known, status=Status.PROCESSING)) is None
