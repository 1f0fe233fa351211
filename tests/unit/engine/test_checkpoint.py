"""When a worker has the histories covered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from rig.databases import Clock, arrived
from wharfinger.engine.checkpoint import Checkpointer
from wharfinger.ledger import Database
from wharfinger.ledger.checkpoint import signer
from wharfinger.ledger.inspection import Inspection
from wharfinger.ledger.keyring import Keyring
from wharfinger.ledger.sqlite import SqliteDatabase


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path, clock: Clock) -> Iterator[Database]:
    database = SqliteDatabase(tmp_path / "ledger.db", clock=clock)
    yield database
    database.close()


def made(database: Database) -> int:
    return len(database.audit.checkpoints())


def test_the_first_comes_when_the_worker_has_lived_so_long(database: Database, tmp_path: Path, clock: Clock) -> None:
    checkpoint = Checkpointer(database.audit, signer(Keyring(tmp_path)), 60, monotonic=clock)
    arrived(database.ledger)
    checkpoint()
    clock.forward(59)
    checkpoint()
    assert made(database) == 0
    clock.forward(1)
    checkpoint()
    assert made(database) == 1


def test_then_there_is_one_a_minute_whoever_makes_it(database: Database, tmp_path: Path, clock: Clock) -> None:
    sign = signer(Keyring(tmp_path))
    workers = [Checkpointer(database.audit, sign, 60, monotonic=clock) for _ in range(3)]
    for _ in range(600):
        clock.forward(1)
        arrived(database.ledger)
        for worker in workers:
            worker()
    assert made(database) == 10
    assert list(Inspection(database.catalog, database.audit, Keyring(tmp_path).holds)) == []


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says, without what it says is to be done."""
    return [record.message.partition(";")[0].partition(",")[0] for record in caplog.records]


BEGINS = "no checkpoint can be made over the histories of files"
ENDS = "checkpoints are made again"


def test_a_last_checkpoint_that_somebody_changed_stops_no_heart_and_is_told_once(
    database: Database, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = Checkpointer(database.audit, signer(Keyring(tmp_path)), 0, monotonic=clock)
    arrived(database.ledger)
    checkpoint()
    db = apsw.Connection(str(tmp_path / "ledger.db"))
    db.execute("UPDATE audit_checkpoint SET signed = 'x'")
    db.close()
    arrived(database.ledger)
    for _ in range(3):
        checkpoint()
    assert made(database) == 1
    assert told(caplog) == [BEGINS]


def test_without_keys_there_is_no_checkpoint_until_they_are_back(
    database: Database, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    ring = Keyring(tmp_path)
    checkpoint = Checkpointer(database.audit, signer(ring), 0, monotonic=clock)
    ring.path.rename(tmp_path / "aside")
    arrived(database.ledger)
    for _ in range(3):
        checkpoint()
    assert made(database) == 0
    (tmp_path / "aside").rename(ring.path)
    for _ in range(2):
        checkpoint()
    assert made(database) == 1
    assert told(caplog) == [BEGINS, ENDS]
