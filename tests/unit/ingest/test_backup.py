"""A backup while bytes are purged: what the ledger's copy promises is there, or is known as purged after a restore."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from rig.databases import claimed, transferred
from wharfinger.engine.purge import carry_out, order
from wharfinger.errors import Incompatible, UsageError
from wharfinger.ingest import Upload, land
from wharfinger.ingest.backup import Premises, Snapshot, back_up, choose, restore
from wharfinger.ingest.rebuild import rebuild
from wharfinger.ledger import Filter
from wharfinger.ledger.sqlite import SqliteDatabase, schema
from wharfinger.ledger.sqlite.copy import SqliteCopies
from wharfinger.model import Arrival
from wharfinger.store import archive
from wharfinger.store.local import LocalStore
from wharfinger.store.versions import Versions

fresh = Versions()


@dataclass
class Installation:
    premises: Premises
    database: SqliteDatabase
    store: LocalStore

    def take(self, name: str) -> Arrival:
        path = self.store.scratch() / "staged"
        path.write_bytes(name.encode())
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        upload = Upload(path, f"acme/inbound/{name}", fresh(), len(name), sha256, "acme")
        [arrival] = land(self.store, self.database.ledger, "inbox", [upload])
        assert isinstance(arrival, Arrival)
        self.database.ledger.settle([transferred(claimed(self.database.ledger))])
        return arrival

    def purge(self, arrival: Arrival) -> None:
        order(self.database.purges, [arrival.file_id], by="ann")
        for _ in carry_out(self.database.purges, self.store, {}):
            pass

    def back_up(
        self, root: Path, after_ledger: Callable[[], object] = lambda: None, clock: Callable[[], float] = time.time
    ) -> Snapshot:
        class Watched(SqliteCopies):
            def copy(self, folder: Path) -> list[str]:
                names = super().copy(folder)
                after_ledger()
                return names

        return back_up(self.premises, root, Watched(str(self.premises.ledger)), clock=clock)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    data = tmp_path / "data"
    data.mkdir()
    configuration = tmp_path / "wharf.yaml"
    configuration.write_text("data: data\n")
    premises = Premises(data, data / "ledger.db", data / "store", configuration)
    installation = Installation(premises, SqliteDatabase(premises.ledger), LocalStore(premises.store))
    yield installation
    installation.store.close()
    installation.database.close()


def restored(installation: Installation, snapshot: Snapshot, tmp_path: Path) -> tuple[dict[str, bool], list[str]]:
    """After a restore elsewhere: of each file whether it is known as purged, and what the store then has to complain of."""
    elsewhere = tmp_path / "elsewhere"
    premises = Premises(elsewhere, elsewhere / "ledger.db", elsewhere / "store", tmp_path / "elsewhere.yaml")
    assert restore(snapshot, premises, SqliteCopies(str(premises.ledger))) == []
    with closing(SqliteDatabase(premises.ledger)) as database, closing(LocalStore(premises.store)) as store:
        rebuild(store, database, "inbox")
        records = database.catalog.files(Filter())
        kept = [record for record in records if record.purged is None]
        assert store.head([record.ref for record in kept]) == [record.size for record in kept]
        return {record.file_id: record.purged is not None for record in records}, [p.message for p in store.verify()]


@pytest.mark.parametrize("when", ["before", "after the ledger", "after the journal", "after all"])
def test_a_purge_in_the_midst_of_a_backup_is_no_loss(
    when: str, installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes, stays = installation.take("goes.csv"), installation.take("stays.csv")
    if when == "before":
        installation.purge(goes)
    honest = archive.copy_journal

    def copy_journal(*places: Path) -> None:
        honest(*places)
        if when == "after the journal":
            installation.purge(goes)

    monkeypatch.setattr(archive, "copy_journal", copy_journal)
    snapshot = installation.back_up(
        tmp_path / "backup", lambda: installation.purge(goes) if when == "after the ledger" else None
    )
    monkeypatch.undo()
    if when == "after all":
        installation.purge(goes)
    assert snapshot.lost == 0
    purged, problems = restored(installation, snapshot, tmp_path)
    assert purged == {goes.file_id: when != "after all", stays.file_id: False}
    assert problems == []


def test_nothing_is_restored_beside_the_wal_of_another_ledger(installation: Installation, tmp_path: Path) -> None:
    installation.take("a.csv")
    snapshot = installation.back_up(tmp_path / "backup")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    left = elsewhere / "ledger.db-wal"
    left.write_bytes((tmp_path / "data" / "ledger.db-wal").read_bytes())
    with pytest.raises(UsageError) as caught:
        restored(installation, snapshot, tmp_path)
    assert (caught.value.code, str(left) in caught.value.fix) == ("NOT_EMPTY", True)
    assert [*elsewhere.iterdir()] == [left]


def test_of_files_that_are_named_like_the_ledger_its_own_alone_are_left_out(
    installation: Installation, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    keys = ["ledger.db.pem", "ledger.db-keys/signing", "ledger.db2", "keys/ledger.db", "ledger.db.20260101T000000.key"]
    for name in [*keys, "ledger.db.20260101T000000"]:
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_text(name)
    kept = installation.back_up(tmp_path / "backup").path / "keep" / "data"
    assert sorted(str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()) == sorted(keys)


def test_a_ledger_of_a_newer_version_leaves_the_place_as_it_was(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = installation.back_up(tmp_path / "backup")
    monkeypatch.setattr(schema, "STEPS", schema.STEPS[:-1])
    with pytest.raises(Incompatible):
        restored(installation, snapshot, tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_place_whose_restore_is_not_done_is_not_backed_up(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "data" / "restoring").write_text("2026-01-01T00-00-00Z")
    with pytest.raises(UsageError) as caught:
        installation.back_up(tmp_path / "backup")
    assert (caught.value.code, "--at 2026-01-01T00-00-00Z" in caught.value.fix) == ("RESTORE_UNFINISHED", True)


def test_each_of_two_snapshots_of_one_second_is_chosen_by_its_name(installation: Installation, tmp_path: Path) -> None:
    root = tmp_path / "backup"
    first, second = (installation.back_up(root, clock=lambda: 1e9) for _ in range(2))
    assert [choose(root, name).path for name in (first.name, second.name, "2001", "")] == [
        first.path,
        second.path,
        second.path,
        second.path,
    ]
    with pytest.raises(UsageError, match="has no snapshot 1999") as caught:
        choose(root, "1999")
    assert first.name in caught.value.fix
    with pytest.raises(UsageError, match="has no snapshots"):
        choose(tmp_path, "")
