"""What every Catalog promises."""

from __future__ import annotations

import pytest

from rig.databases import (
    SHA256,
    START,
    Clock,
    an_arrival,
    arrived,
    claimed,
    failed,
    lease,
    quarantined,
    retried,
    transferred,
    unrouted,
)
from wharfinger.ledger import Catalog, Filter, Ledger, chain
from wharfinger.model import Arrival, State, Status, ulid


def ids(catalog: Catalog, **filter: object) -> set[str]:
    return {found.file_id for found in catalog.files(Filter(**filter))}  # type: ignore[arg-type]


def test_a_record_tells_how_the_file_came(ledger: Ledger, catalog: Catalog) -> None:
    arrival = an_arrival("acme/inbound/a.csv", media_type="text/csv", source="sftp", user="ann", session="s1")
    ledger.arrive([arrival])
    found = catalog.file(arrival.file_id)
    assert found
    assert (found.file_id, found.source_bucket, found.destination_bucket) == (arrival.file_id, "inbox", "")
    assert (found.key, found.customer_id, found.upload_timestamp) == ("acme/inbound/a.csv", "acme", START)
    assert (found.version, found.size, found.sha256, found.manifest_id) == (arrival.version, 1000, SHA256, "")
    assert (found.media_type, found.source, found.user) == ("text/csv", "sftp", "ann")


def test_the_beginning_of_an_id_will_do_if_it_is_unique(ledger: Ledger, catalog: Catalog) -> None:
    one, two = arrived(ledger, 2)
    common = next(n for n in range(26) if one.file_id[n] != two.file_id[n])
    found = catalog.file(one.file_id[: max(common + 1, 12)])
    assert found
    assert found.file_id == one.file_id
    assert catalog.file(one.file_id[:common]) is None


def test_too_short_a_beginning_finds_nothing(ledger: Ledger, catalog: Catalog) -> None:
    [arrival] = arrived(ledger)
    assert catalog.file(arrival.file_id[:12]) is not None
    assert catalog.file(arrival.file_id[:11]) is None
    assert catalog.file("") is None


def test_the_newest_version_is_the_greatest_that_arrived(ledger: Ledger, catalog: Catalog) -> None:
    assert catalog.newest_version() == ""
    versions = [ulid(START + n // 50, n) for n in range(100)]  # two of a millisecond differ by their last digits alone
    ledger.arrive([an_arrival(version=version) for version in reversed(versions)])
    assert catalog.newest_version() == max(versions)


def test_an_unknown_file_has_no_record_and_no_history(catalog: Catalog) -> None:
    assert catalog.file("0" * 26) is None
    assert catalog.events("0" * 26) == []


@pytest.mark.parametrize("filter", [Filter(), Filter(customer="acme"), Filter(status=Status.UPLOADED)])
def test_pages_are_newest_first_and_have_each_file_once(ledger: Ledger, catalog: Catalog, filter: Filter) -> None:
    arrivals = [an_arrival(at=START + n // 3) for n in range(25)]
    ledger.arrive(arrivals[::2])
    ledger.arrive(arrivals[1::2])
    seen, after = [], ""
    while page := catalog.files(filter, limit=7, after=after):
        seen += page
        after = page[-1].file_id
    assert sorted(found.file_id for found in seen) == sorted(a.file_id for a in arrivals)
    times = [found.upload_timestamp for found in seen]
    assert times == sorted(times, reverse=True)


def test_a_page_after_an_unknown_file_is_empty(ledger: Ledger, catalog: Catalog) -> None:
    arrived(ledger)
    assert catalog.files(Filter(), after="0" * 26) == []


def test_files_are_found_by_customer_and_time(ledger: Ledger, catalog: Catalog) -> None:
    early, late = an_arrival(at=START), an_arrival(at=START + 10)
    other = an_arrival(customer="globex", at=START + 10)
    ledger.arrive([early, late, other])
    assert ids(catalog, customer="acme") == {early.file_id, late.file_id}
    assert ids(catalog, since=START + 10) == {late.file_id, other.file_id}
    assert ids(catalog, until=START + 10) == {early.file_id}
    assert ids(catalog, customer="acme", since=START + 1, until=START + 11) == {late.file_id}
    assert ids(catalog, status=Status.UPLOADED, since=START + 1, customer="globex") == {other.file_id}


def one_of_each(ledger: Ledger) -> dict[Status, Arrival]:
    """A file in every status."""
    files = dict(zip(Status, arrived(ledger, len(Status))))
    runs = {run.id: run for run in ledger.claim("worker", 10, 30)}
    run = {status: runs[a.file_id] for status, a in files.items()}
    ledger.release([lease(run[Status.QUEUED])])
    ledger.settle([unrouted(run[Status.UPLOADED]), transferred(run[Status.TRANSFERRED])])
    ledger.settle([failed(run[Status.FAILED]), quarantined(run[Status.QUARANTINED])])
    return files


@pytest.mark.parametrize("status", Status)
def test_files_are_found_by_status(ledger: Ledger, catalog: Catalog, status: Status) -> None:
    files = one_of_each(ledger)
    assert ids(catalog, status=status) == {files[status].file_id}
    assert ids(catalog, status=status, customer="globex") == set()


def test_files_are_found_by_name_pipeline_and_error(ledger: Ledger, catalog: Catalog) -> None:
    files = one_of_each(ledger)
    key = files[Status.FAILED].key
    assert ids(catalog, name=key) == ids(catalog, name="*" + key[-8:]) == {files[Status.FAILED].file_id}
    assert ids(catalog, name="acme/inbound") == set()
    settled = {files[s].file_id for s in Status if s.is_final}
    assert ids(catalog, pipeline="claims") == settled
    assert ids(catalog, pipeline="other") == set()
    assert ids(catalog, error="no route") == {files[Status.FAILED].file_id}
    assert ids(catalog, error="UNROUTED") == {files[Status.UPLOADED].file_id}


@pytest.mark.parametrize(
    ("beginning", "finds"),
    [("f", True), ("f" * 64, True), ("f" * 65, False), ("F", False), ("%", False), ("_" * 64, False)],
)
@pytest.mark.parametrize("is_own", [False, True])
def test_a_revision_is_found_by_its_beginning_and_nothing_else(
    ledger: Ledger, catalog: Catalog, beginning: str, finds: bool, is_own: bool
) -> None:
    [arrival] = arrived(ledger)
    ledger.settle([transferred(claimed(ledger))])  # of a revision "fff..."
    assert ids(catalog, revision=beginning, is_own=is_own) == ({arrival.file_id} if finds else set())


def test_counts_are_the_ledger_in_figures(ledger: Ledger, catalog: Catalog) -> None:
    one_of_each(ledger)
    counts = catalog.counts()
    assert counts.files == dict.fromkeys(Status, 1)
    assert counts.runs == {
        State.READY: 1,
        State.LEASED: 1,
        State.WAITING: 1,
        State.BEHIND: 0,
        State.DONE: 1,
        State.DEAD: 2,
        State.CANCELLED: 0,
    }
    assert (counts.bytes, counts.unrouted) == (6000, 1)


def test_an_empty_ledger_counts_nothing(catalog: Catalog) -> None:
    counts = catalog.counts()
    assert set(counts.files.values()) == set(counts.runs.values()) == {0}
    assert (counts.bytes, counts.unrouted, counts.oldest_ready) == (0, 0, None)


def test_the_oldest_ready_file_is_the_one_that_waits_longest(ledger: Ledger, catalog: Catalog, clock: Clock) -> None:
    arrivals = [an_arrival(at=START + n) for n in range(4)]
    ledger.arrive(arrivals)
    assert catalog.counts().oldest_ready == START
    ledger.settle([unrouted(claimed(ledger))])
    ledger.settle([retried(claimed(ledger), START + 600)])
    assert catalog.counts().oldest_ready == START + 1
    ledger.settle([transferred(run) for run in ledger.claim("worker", 10, 30)])
    clock.forward(600)
    claimed(ledger)
    assert catalog.counts().oldest_ready is None


def test_every_history_is_chained(ledger: Ledger, catalog: Catalog) -> None:
    for arrival in one_of_each(ledger).values():
        events = catalog.events(arrival.file_id)
        assert [event.n for event in events] == [*range(1, len(events) + 1)]
        assert chain.verify(events) == []
