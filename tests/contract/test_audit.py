"""What every Audit promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from rig.databases import START, Clock, an_arrival, arrived, claimed, lease, transferred
from wharfinger.ledger import Audit, AuditCheckpoint, Catalog, Coverage, Database, Head, Ledger, Namespace
from wharfinger.model import Lease

MINUTE = 60.0


@pytest.fixture
def audit(database: Database) -> Audit:
    return database.audit


class Notes:
    """Signs by noting what it was given."""

    def __init__(self) -> None:
        self.heads: list[Sequence[Head]] = []
        self.before: list[AuditCheckpoint | None] = []

    def __call__(self, heads: Sequence[Head], before: AuditCheckpoint | None, at: float) -> bytes:
        self.heads.append(heads)
        self.before.append(before)
        return f"signed {len(heads)} at {at}\n".encode()


def cover(audit: Audit, every_s: float = 0.0, **more: int) -> tuple[AuditCheckpoint | None, list[Head]]:
    notes = Notes()
    made = audit.checkpoint(notes, every_s=every_s, **more)
    return made, [head for heads in notes.heads for head in heads]


def head(catalog: Catalog, file_id: str) -> Head:
    last = catalog.events(file_id)[-1]
    return Head(file_id, last.n, last.hash)


def test_where_nothing_has_happened_there_is_nothing_to_cover(audit: Audit) -> None:
    assert cover(audit) == (None, [])
    assert (audit.last(), audit.checkpoints(), audit.leaves(1), audit.covering("F")) == (None, [], [], [])
    assert audit.coverage(["F"]) == [Coverage(0, awaits=False)]


def test_a_checkpoint_covers_the_heads_in_the_order_of_their_files(
    audit: Audit, ledger: Ledger, catalog: Catalog
) -> None:
    files = sorted(arrival.file_id for arrival in arrived(ledger, 7))
    ledger.settle([transferred(claimed(ledger))])
    made, heads = cover(audit)
    assert heads == [head(catalog, file_id) for file_id in files]
    assert sorted(each.n for each in heads) == [1] * 6 + [2]
    assert made == AuditCheckpoint(1, START, f"signed 7 at {START}\n".encode())
    assert (audit.last(), audit.checkpoints()) == (made, [made])
    assert [leaf.head for leaf in audit.leaves(1)] == heads
    assert all(leaf.now == leaf.head.hash for leaf in audit.leaves(1))
    assert [audit.covering(file_id) for file_id in files] == [[1]] * 7


def test_the_next_one_covers_what_has_happened_since(
    audit: Audit, ledger: Ledger, catalog: Catalog, clock: Clock
) -> None:
    arrived(ledger, 3)
    first, _ = cover(audit)
    run = claimed(ledger)
    clock.forward(5)
    ledger.settle([transferred(run)])
    notes = Notes()
    second = audit.checkpoint(notes, every_s=0)
    assert second
    assert (second.n, second.at) == (2, START + 5)
    assert notes.heads == [[head(catalog, run.id)]]
    assert notes.before == [first]
    assert audit.covering(run.id) == [1, 2]
    assert [(leaf.head.n, leaf.now == leaf.head.hash) for leaf in audit.leaves(1)] == [(1, True)] * 3
    assert cover(audit) == (None, [])


def test_everything_that_is_told_of_a_file_awaits_the_next_one(
    audit: Audit, ledger: Ledger, namespace: Namespace, catalog: Catalog, clock: Clock
) -> None:
    [arrival] = arrived(ledger)
    cover(audit)
    happenings: list[Callable[[], object]] = [
        lambda: ledger.release([lease_of(ledger)]),
        lambda: ledger.settle([transferred(claimed(ledger))]),
        lambda: ledger.replay([arrival.file_id]),
        lambda: (claimed(ledger, lease_s=1), clock.forward(2), ledger.sweep()),
        lambda: namespace.rename(arrival.key, "acme/inbound/other.csv"),
        lambda: namespace.remove("acme/inbound/other.csv"),
    ]
    for happen in happenings:
        before = head(catalog, arrival.file_id).n
        happen()
        assert audit.coverage([arrival.file_id]) == [Coverage(before, awaits=True)]
        _, heads = cover(audit)
        assert heads == [head(catalog, arrival.file_id)]
        assert audit.coverage([arrival.file_id]) == [Coverage(heads[0].n, awaits=False)]


def lease_of(ledger: Ledger) -> Lease:
    return lease(claimed(ledger))


def test_there_is_one_in_so_many_seconds(audit: Audit, ledger: Ledger, clock: Clock) -> None:
    arrived(ledger)
    assert cover(audit, MINUTE)[0]
    arrived(ledger)
    clock.forward(MINUTE - 1)
    assert cover(audit, MINUTE) == (None, [])
    clock.forward(1)
    assert cover(audit, MINUTE)[0]


def test_a_clock_that_was_set_back_puts_nothing_off(audit: Audit, ledger: Ledger, clock: Clock) -> None:
    arrived(ledger)
    cover(audit, MINUTE)
    arrived(ledger)
    clock.forward(-86400)
    assert cover(audit, MINUTE)[0]


def test_a_backlog_is_covered_in_parts_and_waits_for_no_minute(audit: Audit, ledger: Ledger) -> None:
    files = sorted(arrival.file_id for arrival in arrived(ledger, 25))
    parts = [cover(audit, MINUTE, limit=10)[1] for _ in range(3)]
    assert [len(part) for part in parts] == [10, 10, 0]
    assert [each.file_id for part in parts for each in part] == files[:20]
    assert [coverage.awaits for coverage in audit.coverage(files)] == [False] * 20 + [True] * 5
    assert len(cover(audit)[1]) == 5


def test_what_the_signer_raises_is_raised_and_nothing_changes(audit: Audit, ledger: Ledger) -> None:
    [arrival] = arrived(ledger)

    def refuse(*_: object) -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        audit.checkpoint(refuse, every_s=0)
    assert (audit.last(), audit.leaves(1)) == (None, [])
    assert audit.coverage([arrival.file_id]) == [Coverage(0, awaits=True)]
    made, heads = cover(audit)
    assert made
    assert (made.n, len(heads)) == (1, 1)


def test_checkpoints_come_in_pages(audit: Audit, ledger: Ledger) -> None:
    for _ in range(5):
        arrived(ledger)
        cover(audit)
    assert [each.n for each in audit.checkpoints(limit=2)] == [1, 2]
    assert [each.n for each in audit.checkpoints(after=3)] == [4, 5]
    last = audit.last()
    assert last
    assert last.n == 5


def test_coverage_is_answered_one_by_one(audit: Audit, ledger: Ledger) -> None:
    old, new = an_arrival(), an_arrival()
    ledger.arrive([old])
    cover(audit)
    ledger.arrive([new])
    asked = [new.file_id, "none", old.file_id, new.file_id]
    awaits, none, covered = Coverage(0, awaits=True), Coverage(0, awaits=False), Coverage(1, awaits=False)
    assert audit.coverage(asked) == [awaits, none, covered, awaits]


def test_of_many_that_try_at_once_each_head_is_covered_once(open_database: Callable[[], Database]) -> None:
    databases = [open_database() for _ in range(4)]
    files = sorted(arrival.file_id for arrival in arrived(databases[0].ledger, 60))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda database: [cover(database.audit, limit=7) for _ in range(5)], databases))
    audit = databases[0].audit
    made = audit.checkpoints()
    assert [each.n for each in made] == list(range(1, len(made) + 1))
    assert [leaf.head.file_id for each in made for leaf in audit.leaves(each.n)] == files


def test_those_who_try_in_the_same_minute_make_one(open_database: Callable[[], Database]) -> None:
    databases = [open_database() for _ in range(4)]
    arrived(databases[0].ledger, 20)
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda database: cover(database.audit, MINUTE)[0], databases))
    assert sum(each is not None for each in made) == 1


def test_what_no_checkpoint_covers_has_waited_since_the_last_one(audit: Audit, ledger: Ledger, clock: Clock) -> None:
    assert audit.waits_since() is None
    arrived(ledger, 2, at=START)
    assert audit.waits_since() == START
    clock.forward(5)
    cover(audit)
    assert audit.waits_since() is None
    clock.forward(5)
    ledger.settle([transferred(claimed(ledger))])
    assert audit.waits_since() == START + 5


def test_published_keys_are_known_to_all_in_their_order(open_database: Callable[[], Database]) -> None:
    one, other = open_database().audit, open_database().audit
    assert one.publish([]) == []
    assert one.publish([b'"b"', b'"a"']) == [b'"b"', b'"a"']
    assert other.publish([b'"a"', b'"c"']) == [b'"b"', b'"a"', b'"c"']
    assert other.publish([b'"c"']) == one.publish([]) == [b'"b"', b'"a"', b'"c"']


def test_keys_of_another_ring_are_not_published_unless_it_begins_anew(audit: Audit) -> None:
    audit.publish([b'"a"'])
    assert audit.publish([b'"x"', b'"y"']) == [b'"a"']
    assert audit.publish([b'"x"', b'"y"'], anew=True) == [b'"a"', b'"x"', b'"y"']
    assert audit.publish([b'"y"', b'"z"']) == [b'"a"', b'"x"', b'"y"', b'"z"']


def test_of_rings_that_are_published_at_once_one_is_the_ledgers(open_database: Callable[[], Database]) -> None:
    databases = [open_database() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(lambda n: databases[n].audit.publish([b"%d" % n]), range(4)))
    assert len(databases[0].audit.publish([])) == 1
    assert told == [told[0]] * 4
