from __future__ import annotations

import gzip
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rig import postgres
from wharfinger.errors import Busy, LedgerError, UsageError
from wharfinger.ledger import User
from wharfinger.ledger.postgres import PostgresDatabase, copy, schema
from wharfinger.ledger.postgres.connection import Connections, rows
from wharfinger.ledger.postgres.copy import PostgresCopies

BOB = User("bob", "acme", "acme")


@pytest.fixture
def other(tmp_path: Path) -> str:
    """The URL of another database that is empty."""
    return postgres.schema(tmp_path / "other")


def test_a_copy_of_an_older_version_is_brought_up_to_date(
    connections: Connections, url: str, other: str, tmp_path: Path
) -> None:
    schema.migrate(connections, schema.STEPS[:5])
    insert = "INSERT INTO file VALUES ('F', 'inbox', 'acme/a', 'V', 7, '\\xab', 'acme', 1, '', '', '', '', 0, NULL)"
    connections.write(lambda tx: tx.execute(insert))
    PostgresCopies(url).copy(tmp_path)
    assert [(ref.key, ref.size, ref.sha256) for ref in PostgresCopies(url).kept(tmp_path)] == [("acme/a", 7, "ab")]
    PostgresCopies(other).restore(tmp_path)
    restored = Connections(other, 1.0)
    assert restored.read(schema.version) == len(schema.STEPS)
    assert restored.read(lambda db: rows(db, "SELECT file_id, purged FROM file")) == [("F", None)]
    restored.close()


@pytest.mark.parametrize("what", ["TABLE others(n int)", "SEQUENCE turn"])
def test_a_database_that_holds_anything_is_left_as_it_is(what: str, url: str, other: str, tmp_path: Path) -> None:
    PostgresDatabase(url).close()
    PostgresCopies(url).copy(tmp_path)
    with psycopg.connect(other, autocommit=True) as db:
        db.execute(f"CREATE {what}")
    assert PostgresCopies(other).occupants() != []
    with pytest.raises(UsageError) as caught:
        PostgresCopies(other).restore(tmp_path)
    assert (caught.value.code, "createdb" in caught.value.fix) == ("NOT_EMPTY", True)
    with psycopg.connect(other) as db:
        assert db.execute("SELECT to_regclass('account')").fetchone() == (None,)


def test_what_cannot_be_brought_back_leaves_nothing(url: str, other: str, tmp_path: Path) -> None:
    database = PostgresDatabase(url)
    database.accounts.keep([BOB])
    database.close()
    PostgresCopies(url).copy(tmp_path)
    honest = (tmp_path / "ledger" / "run.csv.gz").read_bytes()
    (tmp_path / "ledger" / "run.csv.gz").write_bytes(gzip.compress(b"too few\n"))
    with pytest.raises(LedgerError, match="missing data"):
        PostgresCopies(other).restore(tmp_path)
    assert PostgresCopies(other).occupants() == []
    (tmp_path / "ledger" / "run.csv.gz").write_bytes(honest)
    PostgresCopies(other).restore(tmp_path)
    database = PostgresDatabase(other)
    assert database.accounts.users() == [BOB]
    database.close()


def test_tables_of_others_are_not_copied(url: str, tmp_path: Path) -> None:
    PostgresDatabase(url).close()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE TABLE others(n int)")
    names = PostgresCopies(url).copy(tmp_path)
    assert "ledger/run.csv.gz" in names
    assert [name for name in names if "others" in name or "life" in name or "migration" in name] == []


def test_no_table_changes_while_a_ledger_is_copied(
    connections: Connections, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration waits, and says Busy after its patience."""
    schema.migrate(connections)
    further, copying, go_on = (*schema.STEPS, "CREATE TABLE more(n int)"), threading.Event(), threading.Event()
    honest = copy._copy_out

    def waiting(*args: Any) -> int:
        copying.set()
        assert go_on.wait(20)
        return honest(*args)

    monkeypatch.setattr(copy, "_copy_out", waiting)
    copier = threading.Thread(target=PostgresCopies(url).copy, args=(tmp_path,))
    copier.start()
    try:
        assert copying.wait(20)
        with pytest.raises(Busy, match="held the ledger"):
            schema.migrate(connections, further)
    finally:
        go_on.set()
        copier.join()
    PostgresCopies(url).check(tmp_path)
    schema.migrate(connections, further)
