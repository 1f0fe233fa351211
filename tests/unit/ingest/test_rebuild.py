from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.databases import a_child, claimed, parent_of
from rig.descriptors import ARE_TOLD, opened
from wharfinger.engine.cancel import cancel, replay
from wharfinger.errors import StoreError
from wharfinger.ingest import Upload, land
from wharfinger.ingest.rebuild import Notes, Rebuilt, lost, rebuild, unrecorded
from wharfinger.ledger import Database, Filter
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import Arrival, Delivered, ObjectRef, Outcome, State, Status
from wharfinger.store import Copy, Store, delivery_note, purge_note
from wharfinger.store.local import LocalStore
from wharfinger.store.versions import Versions

fresh = Versions()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = LocalStore(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = SqliteDatabase(tmp_path / "ledger.db", tree="inbox")
    yield database
    database.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    """The ledger after the loss."""
    database = SqliteDatabase(tmp_path / "new.db", tree="inbox")
    yield database
    database.close()


def upload(store: Store, name: str, content: bytes = b"a,b\n1,2\n") -> Upload:
    path = store.scratch() / "staged"
    path.write_bytes(content)
    return Upload(
        path=path,
        key=f"acme/inbound/{name}",
        version=fresh(),
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        customer="acme",
        source="sftp",
        user="bob",
        session="s1",
        mtime=1_700_000_000.5,
    )


def taken(store: Store, database: Database, *names: str) -> list[Arrival]:
    landed = land(store, database.ledger, "inbox", [upload(store, name) for name in names])
    return [arrival for arrival in landed if isinstance(arrival, Arrival)]


def deliver(store: Store, database: Database) -> Delivered:
    """Settle one file as the engine does: the effect, the note, the fact."""
    (run,) = database.ledger.claim("worker", 1, 30.0)
    a = run.arrival
    effect = Delivered("out", "out", a.key, a.version, a.size, a.sha256, a.at + 1)
    store.note([delivery_note(a.file_id, [effect])])
    outcome = Outcome(
        run.id, run.token, State.DONE, Status.TRANSFERRED, pipeline="all", revision="r1", delivered=(effect,)
    )
    assert database.ledger.settle([outcome]) == [True]
    return effect


def test_every_arrival_comes_back_with_its_id_hash_time_and_names(
    store: Store, database: Database, empty: Database
) -> None:
    taken(store, database, "a.csv", "b b.csv", "ü#.csv")
    assert rebuild(store, empty, "inbox") == Rebuilt(arrivals=3)
    before = {r.file_id: r for r in database.catalog.files(Filter())}
    after = {r.file_id: r for r in empty.catalog.files(Filter())}
    assert after == before
    assert [empty.catalog.events(i)[0].data for i in after] == [database.catalog.events(i)[0].data for i in before]


def test_what_was_delivered_is_transferred_and_is_not_run_again(
    store: Store, database: Database, empty: Database
) -> None:
    taken(store, database, "done.csv", "open.csv")
    effect = deliver(store, database)
    assert rebuild(store, empty, "inbox") == Rebuilt(arrivals=2, delivered=1)
    (done,) = empty.catalog.files(Filter(status=Status.TRANSFERRED))
    assert done.delivered == (effect,)
    assert [run.arrival.key for run in empty.ledger.claim("worker", 100, 30.0)] == ["acme/inbound/open.csv"]


def test_what_a_file_went_on_without_is_known_again(store: Store, database: Database, empty: Database) -> None:
    (arrival,) = taken(store, database, "all.zip")
    store.note([delivery_note(arrival.file_id, [], "INCOMPLETE: 1 of 1 members failed: a: EIO")])
    assert rebuild(store, empty, "inbox") == Rebuilt(arrivals=1, delivered=1)
    record = empty.catalog.file(arrival.file_id)
    assert record
    assert (record.status, record.error_message) == ("transferred", "INCOMPLETE: 1 of 1 members failed: a: EIO")
    assert empty.catalog.counts().incomplete == 1


def test_a_file_appears_in_its_customers_tree_again(store: Store, database: Database, empty: Database) -> None:
    taken(store, database, "a.csv")
    rebuild(store, empty, "inbox")
    assert [entry.path for entry in empty.namespace.children("acme/inbound")] == ["acme/inbound/a.csv"]


def test_what_a_pipeline_made_is_no_arrival(store: Store, database: Database, empty: Database) -> None:
    (arrival,) = taken(store, database, "a.csv")
    made = ObjectRef("inbox", "acme/outbound/a.csv", fresh(), arrival.size, arrival.sha256)
    assert store.copy([Copy(arrival.ref, made, {"run": arrival.file_id, "step": "deliver"})]) == [None]
    assert rebuild(store, empty, "inbox") == Rebuilt(arrivals=1, others=1)


def test_a_ledger_is_lost_where_the_store_has_arrivals_and_it_has_none(
    store: Store, database: Database, empty: Database
) -> None:
    assert lost(store, empty.catalog, "inbox") == 0
    (arrival, _) = taken(store, database, "a.csv", "b.csv")
    made = ObjectRef("inbox", "acme/outbound/a.csv", fresh(), arrival.size, arrival.sha256)
    assert store.copy([Copy(arrival.ref, made, {"run": arrival.file_id, "step": "deliver"})]) == [None]
    assert (lost(store, empty.catalog, "inbox"), lost(store, database.catalog, "inbox")) == (2, 0)


def test_a_ledger_is_not_lost_for_what_a_crash_left_or_for_what_is_younger(
    store: Store, database: Database, empty: Database
) -> None:
    taken(store, empty, *(f"{n}.csv" for n in range(100)))  # unknown to `database`: a whole group
    taken(store, database, "a.csv")
    taken(store, empty, *(f"{n}.csv" for n in range(100)))
    assert lost(store, database.catalog, "inbox") == 0


def test_a_ledger_that_came_after_the_loss_is_lost_whatever_it_has_since(
    store: Store, database: Database, empty: Database
) -> None:
    for _ in range(2):
        taken(store, database, *(f"{n}.csv" for n in range(100)))
    taken(store, empty, "new.csv")
    assert lost(store, empty.catalog, "inbox") == 101


def test_what_landed_and_is_in_no_ledger_is_told_once_it_is_old(
    store: Store, database: Database, empty: Database
) -> None:
    (arrival,) = taken(store, database, "a.csv")
    made = ObjectRef("inbox", "acme/outbound/a.csv", fresh(), arrival.size, arrival.sha256)
    assert store.copy([Copy(arrival.ref, made, {"run": arrival.file_id, "step": "deliver"})]) == [None]
    assert [*unrecorded(store, empty.catalog, "inbox", before=arrival.at + 60)] == [arrival.ref]
    assert [*unrecorded(store, empty.catalog, "inbox", before=arrival.at - 60)] == []
    assert [*unrecorded(store, database.catalog, "inbox", before=arrival.at + 60)] == []


def test_a_repeat_changes_nothing(store: Store, database: Database, empty: Database) -> None:
    taken(store, database, "a.csv", "b.csv")
    deliver(store, database)
    rebuild(store, empty, "inbox")
    (run,) = empty.ledger.claim("worker", 100, 30.0)
    assert rebuild(store, empty, "inbox") == Rebuilt(known=2)
    assert empty.ledger.settle([Outcome(run.id, run.token, State.DONE, Status.TRANSFERRED)]) == [True]


def test_a_rebuild_cut_off_halfway_is_completed_by_the_next(store: Store, database: Database, empty: Database) -> None:
    taken(store, database, *(f"{n}.csv" for n in range(100)))
    taken(store, database, *(f"{n}.csv" for n in range(50)))

    def cut(_: Rebuilt) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(store, empty, "inbox", seen=cut)
    assert rebuild(store, empty, "inbox") == Rebuilt(arrivals=50, known=100)


def test_an_object_that_is_gone_is_passed_over(store: Store, database: Database, empty: Database) -> None:
    arrivals = taken(store, database, "a.csv", "b.csv")
    store.delete([arrivals[0].ref])
    assert rebuild(store, empty, "inbox") == Rebuilt(arrivals=1)


def test_the_notes_of_a_long_life_are_not_held_in_memory(store: Store, empty: Database) -> None:
    effect = Delivered("out", "out", "acme/a.csv", "V1", 1, "0" * 64, 1.5)
    for n in range(0, 10_000, 1000):
        store.note([delivery_note(f"{id:026d}", [effect]) for id in range(n, n + 1000)])
    tracemalloc.start()
    rebuild(store, empty, "inbox")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_rebuild_leaves_no_scratch(store: Store, database: Database, empty: Database) -> None:
    taken(store, database, "a.csv")
    deliver(store, database)
    folder = store.scratch().parent
    before = {*folder.iterdir()}
    rebuild(store, empty, "inbox")
    assert {*folder.iterdir()} == before


def test_the_last_note_on_a_file_counts(tmp_path: Path) -> None:
    first, last = (Delivered("out", "out", key, "V1", 1, "0" * 64, 1.5) for key in ("first", "last"))
    effects = Notes(tmp_path, [delivery_note("A", [first]), {"other": 1}, delivery_note("A", [last], "", 7)])
    assert (effects.delivered("A"), effects.delivered("B")) == (((last,), "", 7), (None, "", 0))
    effects.close()


ODD = [
    {"delivered": []},
    {"file_id": "A", "delivered": None},
    {"file_id": "A", "delivered": [], "delivered_in_all": "many"},
    {"file_id": "A", "delivered": ["out"]},
    {"file_id": "A", "delivered": [{"destination": "out"}]},
    {"file_id": "A", "delivered": [{"destination": "out", "heat": 3.5}]},
]


def test_how_many_deliveries_there_were_comes_back(store: Store, database: Database, empty: Database) -> None:
    taken(store, database, "all.zip", "old.zip")
    all_, old = (deliver(store, database), deliver(store, database))
    ids = {r.key: r.file_id for r in database.catalog.files(Filter())}
    store.note([delivery_note(ids[all_.key], [all_], unnamed=9_900)])
    note = delivery_note(ids[old.key], [old])
    store.note([{name: told for name, told in note.items() if name != "delivered_in_all"}])
    rebuild(store, empty, "inbox")
    found = {r.key: r.delivered_in_all for r in empty.catalog.files(Filter())}
    assert found == {all_.key: 9_901, old.key: 1}


def test_notes_that_cannot_be_read_are_passed_over_and_counted(
    store: Store, database: Database, empty: Database
) -> None:
    taken(store, database, "done.csv", "open.csv")
    effect = deliver(store, database)
    store.note(ODD)
    assert rebuild(store, empty, "inbox") == Rebuilt(arrivals=2, delivered=1, unread=len(ODD))
    (done,) = empty.catalog.files(Filter(status=Status.TRANSFERRED))
    assert done.delivered == (effect,)


@pytest.mark.skipif(not ARE_TOLD, reason="needs /proc")
def test_notes_that_end_in_an_error_leave_nothing_open(tmp_path: Path) -> None:
    def torn() -> Iterator[dict[str, object]]:
        yield delivery_note("A", [])
        raise StoreError("EIO")

    with pytest.raises(StoreError, match="EIO"):
        Notes(tmp_path, torn())
    assert opened(tmp_path) == []


def test_notes_that_find_no_room_are_an_error_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as refusal:
        Notes(tmp_path / "gone", [])
    assert refusal.value.fix


# -- purged


def purge(store: Store, database: Database, *files: str) -> None:
    """Remove the bytes of these files as the engine does: the order, the note, the bytes, the fact."""
    assert all(database.purges.order(files, by="ann", rule="old"))
    orders = database.purges.ordered()
    store.note([purge_note(arrival) for arrival in orders])
    store.delete([arrival.ref for arrival in orders])
    database.purges.confirm(files)


def test_what_was_purged_is_known_as_that_and_is_not_run_again(
    store: Store, database: Database, empty: Database
) -> None:
    arrival, _ = taken(store, database, "gone.csv", "open.csv")
    effect = deliver(store, database)
    purge(store, database, arrival.file_id)
    assert rebuild(store, empty, "inbox") == Rebuilt(arrivals=1, purged=1)
    record, before = (each.catalog.file(arrival.file_id) for each in (empty, database))
    assert record
    assert before
    assert (record.purged, record.status, record.sha256) == (before.purged, Status.TRANSFERRED, before.sha256)
    assert record.delivered == (effect,)
    assert [run.arrival.key for run in empty.ledger.claim("worker", 100, 30.0)] == ["acme/inbound/open.csv"]
    assert rebuild(store, empty, "inbox") == Rebuilt(known=1)


def test_a_ledger_is_lost_also_where_every_file_is_purged(store: Store, database: Database, empty: Database) -> None:
    arrival, another = taken(store, database, "a.csv", "b.csv")
    for _ in range(2):
        deliver(store, database)
    purge(store, database, arrival.file_id, another.file_id)
    assert (lost(store, empty.catalog, "inbox"), lost(store, database.catalog, "inbox")) == (2, 0)


def test_what_a_purge_left_of_the_bytes_goes(store: Store, database: Database, empty: Database) -> None:
    (arrival,) = taken(store, database, "half.csv")
    deliver(store, database)
    database.purges.order([arrival.file_id], by="ann")
    store.note([purge_note(each) for each in database.purges.ordered()])
    assert rebuild(store, empty, "inbox") == Rebuilt(purged=1)
    assert store.head([arrival.ref]) == [None]
    assert empty.purges.ordered() == []


def test_bytes_that_cannot_be_removed_keep_no_ledger_from_being_rebuilt(
    store: Store, database: Database, empty: Database, tmp_path: Path
) -> None:
    stuck, gone, kept = taken(store, database, "stuck.csv", "gone.csv", "kept.csv")
    for _ in range(3):
        deliver(store, database)
    [path] = (tmp_path / "store/objects").rglob(stuck.file_id)
    path.unlink()
    (path / "in it").mkdir(parents=True)
    database.purges.order([stuck.file_id, gone.file_id], by="ann")
    store.note([purge_note(each) for each in database.purges.ordered()])
    assert rebuild(store, empty, "inbox") == Rebuilt(arrivals=1, delivered=1, purged=2, stay=1, known=1)
    assert store.head([gone.ref, kept.ref]) == [None, kept.size]
    assert sum(each.purged is not None for each in empty.catalog.files(Filter())) == 2


def test_a_ledger_that_is_older_than_the_purge_learns_of_it(store: Store, database: Database, empty: Database) -> None:
    (arrival,) = taken(store, database, "a.csv")
    deliver(store, database)
    rebuild(store, empty, "inbox")
    purge(store, database, arrival.file_id)
    assert rebuild(store, empty, "inbox") == Rebuilt(purged=1)
    record = empty.catalog.file(arrival.file_id)
    assert record
    assert record.purged
    last = empty.catalog.events(arrival.file_id)[-1]
    assert (last.kind, last.data["by"], last.data["rule"]) == ("purged", "ann", "old")


def test_what_was_cancelled_stays_so(store: Store, database: Database, empty: Database) -> None:
    arrival, _ = taken(store, database, "secret.csv", "open.csv")
    assert cancel(store, database.ledger, [arrival.file_id], "ann") == [True]
    assert rebuild(store, empty, "inbox") == Rebuilt(arrivals=2, cancelled=1)
    assert rebuild(store, empty, "inbox") == Rebuilt(known=2)
    assert [run.arrival.key for run in empty.ledger.claim("worker", 100, 30.0)] == ["acme/inbound/open.csv"]
    last = empty.catalog.events(arrival.file_id)[-1]
    assert (last.kind, last.data["by"]) == ("cancelled", "ann")


def test_what_was_replayed_since_it_was_cancelled_runs(store: Store, database: Database, empty: Database) -> None:
    arrival, _ = taken(store, database, "a.csv", "b.csv")
    ids = [arrival.file_id]
    cancel(store, database.ledger, ids, "ann")
    assert replay(store, database, ids, "bob", cancelled=ids) == [True]
    rebuild(store, empty, "inbox")
    assert len(empty.ledger.claim("worker", 100, 30.0)) == 2


def test_a_replay_that_is_refused_leaves_a_file_cancelled_by_whoever_did_it(
    store: Store, database: Database, empty: Database
) -> None:
    """A child of it is in the hands of a worker."""
    (arrival,) = taken(store, database, "a.zip")
    parent_of(database.ledger, a_child("a"))
    claimed(database.ledger)
    ids = [arrival.file_id]
    assert cancel(store, database.ledger, ids, "ann") == [True]
    assert replay(store, database, ids, "bob", cancelled=ids) == [False]
    assert rebuild(store, empty, "inbox") == Rebuilt(arrivals=1, cancelled=1)
    assert empty.catalog.events(arrival.file_id)[-1].data["by"] == "ann"


def test_a_replay_that_comes_second_does_not_cancel_what_runs(
    store: Store, database: Database, empty: Database
) -> None:
    (arrival,) = taken(store, database, "a.csv")
    ids = [arrival.file_id]
    cancel(store, database.ledger, ids, "ann")
    assert replay(store, database, ids, "bob", cancelled=ids) == [True]
    claimed(database.ledger)
    assert replay(store, database, ids, "eve", cancelled=ids) == [False]
    assert rebuild(store, empty, "inbox") == Rebuilt(arrivals=1)


def test_what_runs_again_by_the_ledgers_own_word_is_not_cancelled(store: Store, database: Database) -> None:
    (arrival,) = taken(store, database, "a.csv")
    cancel(store, database.ledger, [arrival.file_id], "ann")
    assert database.ledger.replay([arrival.file_id], by="bob") == [True]
    assert rebuild(store, database, "inbox") == Rebuilt(known=1)
    assert len(database.ledger.claim("worker", 100, 30.0)) == 1


def test_a_rebuild_that_was_cut_off_before_it_cancelled_a_file_is_made_good(
    store: Store, database: Database, empty: Database
) -> None:
    (arrival,) = taken(store, database, "a.csv")
    rebuild(store, empty, "inbox")
    cancel(store, database.ledger, [arrival.file_id], "ann")
    assert rebuild(store, empty, "inbox") == Rebuilt(known=1)
    assert empty.ledger.claim("worker", 100, 30.0) == []


@pytest.mark.parametrize(
    "said", [{"cancelled": "ann"}, {"file_id": 7, "cancelled": "ann"}, {"file_id": "F", "cancelled": 7}]
)
def test_a_note_on_a_cancelled_file_that_cannot_be_read_is_passed_over(
    store: Store, empty: Database, said: dict[str, object]
) -> None:
    store.note([said])
    assert rebuild(store, empty, "inbox") == Rebuilt(unread=1)


@pytest.mark.parametrize("said", [None, {}, {"purge": {}}, {"purge": {"status": "vanished"}}])
def test_a_note_on_a_purge_that_cannot_be_read_is_passed_over(store: Store, empty: Database, said: object) -> None:
    store.note([{"file_id": "F", "purged": said}])
    assert rebuild(store, empty, "inbox") == Rebuilt(unread=1)
