"""Partials over time: entered while they are written, found after a crash, removed when they expire."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import apsw
import pytest

from rig.packets import CREAT, NO_SUCH_FILE, W
from rig.sessions import Client, Desk
from wharfinger.errors import Busy
from wharfinger.ingest.sftp import housekeeping
from wharfinger.ingest.sftp.housekeeping import Housekeeping
from wharfinger.ledger import Entry
from wharfinger.store.staging import Staging


def begin(client: Client, path: str, data: bytes) -> bytes:
    handle = client.open(path)
    client.write_at(handle, 0, data)
    return handle


def rows(desk: Desk) -> list[Entry]:
    return list(desk.database.namespace.partials(before=1e12))


def crash(desk: Desk) -> None:
    """The locks of a dead process are gone; its bytes stay as they are."""
    for writing in desk.intake:
        writing.staged.close()
        writing.is_over = True


def test_only_an_upload_that_lasts_is_entered(desk: Desk) -> None:
    client = desk.sign_in()
    handle = begin(client, "/inbound/a", b"abc")
    desk.run(desk.housekeeping.tick())
    assert rows(desk) == []
    desk.run(desk.housekeeping.tick())
    assert [(row.path, row.size, row.user) for row in rows(desk)] == [("acme/inbound/a", 3, "ann")]
    client.close(handle)
    assert rows(desk) == []
    assert desk.content(desk.files()[0]) == b"abc"


def test_an_upload_that_closed_between_two_ticks_is_not_entered(desk: Desk) -> None:
    client = desk.sign_in()
    handle = begin(client, "/inbound/a", b"abc")
    desk.run(desk.housekeeping.tick())
    client.close(handle)
    desk.run(desk.housekeeping.tick())
    assert rows(desk) == []


def test_a_mark_that_comes_late_does_not_cover_the_file(desk: Desk) -> None:
    client = desk.sign_in()
    handle = begin(client, "/inbound/a", b"abc")
    writings = list(desk.intake)
    client.close(handle)
    desk.run(desk.intake.mark(writings))
    assert rows(desk) == []


def test_a_mark_that_comes_late_enters_no_bytes_that_were_dropped(desk: Desk) -> None:
    client = desk.sign_in()
    client.write_at(client.open("/inbound/a"), 5, b"behind a gap")
    writings = list(desk.intake)
    client.leave()
    desk.run(desk.intake.mark(writings))
    assert rows(desk) == []


def test_after_a_crash_the_whole_beginning_can_be_resumed(desk: Desk) -> None:
    client = desk.sign_in()
    handle = begin(client, "/inbound/a", b"abc")
    desk.run(desk.housekeeping.tick())
    desk.run(desk.housekeeping.tick())
    client.write_at(handle, 3, b"def")
    crash(desk)
    desk.clock = time.time()
    desk.run(desk.housekeeping.round())
    again = desk.sign_in()
    assert again.stat("/inbound/a").size == 6
    handle = again.open("/inbound/a", W | CREAT)
    again.write_at(handle, 6, b"ghi")
    again.close(handle)
    assert desk.content(desk.files()[0]) == b"abcdefghi"


def test_a_partial_whose_bytes_are_gone_leaves_the_tree_when_it_expires(desk: Desk) -> None:
    client = desk.sign_in()
    begin(client, "/inbound/a", b"abc")
    client.leave()
    desk.staging.discard(rows(desk)[0].staged)
    desk.clock = time.time() + 1001
    desk.run(desk.housekeeping.round())
    assert rows(desk) == []


def test_a_partial_on_another_node_is_left_to_that_node(desk: Desk, tmp_path: Path) -> None:
    client = desk.sign_in()
    begin(client, "/inbound/a", b"abc")
    client.leave()
    (tmp_path / "other").mkdir()
    other = Housekeeping(desk.intake, Staging(tmp_path / "other"), partial_s=1000, clock=time.time)
    desk.run(other.round())
    again = desk.sign_in()
    assert again.stat("/inbound/a").size == 3
    handle = again.open("/inbound/a", W | CREAT)
    again.write_at(handle, 3, b"def")
    again.close(handle)
    assert desk.content(desk.files()[0]) == b"abcdef"


def test_a_partial_expires_with_its_bytes_and_uncovers_the_file(desk: Desk) -> None:
    client = desk.sign_in()
    client.put("/inbound/a", b"whole")
    begin(client, "/inbound/a", b"cut")
    begin(client, "/inbound/b", b"cut")
    client.leave()
    desk.clock = time.time() + 999
    desk.run(desk.housekeeping.round())
    assert len(rows(desk)) == 2
    desk.clock = time.time() + 1001
    desk.run(desk.housekeeping.round())
    assert rows(desk) == []
    assert desk.staging.ids() == []
    again = desk.sign_in()
    assert again.get("/inbound/a") == b"whole"
    assert again.stat("/inbound/b").code == NO_SUCH_FILE


def test_staged_bytes_that_nobody_knows_go_after_a_round_of_grace(desk: Desk) -> None:
    desk.staging.create().close()
    desk.run(desk.housekeeping.round())
    assert len(desk.staging.ids()) == 1
    desk.run(desk.housekeeping.round())
    assert desk.staging.ids() == []


def test_uploads_under_way_survive_every_round(desk: Desk) -> None:
    client = desk.sign_in()
    handle, unmarked = begin(client, "/inbound/a", b"abc"), begin(client, "/inbound/b", b"abc")
    desk.run(desk.intake.mark([w for w in desk.intake if w.key.endswith("a")]))
    desk.clock = time.time() + 1e6
    for _ in range(3):
        desk.run(desk.housekeeping.round())
    assert client.close(handle).code == client.close(unmarked).code == 0
    assert [desk.content(record) for record in desk.files()] == [b"abc", b"abc"]


def test_trouble_that_lasts_is_logged_when_it_begins_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(housekeeping, "TICK", 0.01)
    desk = Desk(tmp_path, patience_s=0.01)
    begin(desk.sign_in(), "/inbound/a", b"abc")
    other = apsw.Connection(str(tmp_path / "ledger.db"))
    other.execute("BEGIN IMMEDIATE")
    keep_house(desk, 0.5)
    (begun,) = caplog.records
    assert begun.exc_info
    assert begun.exc_info[0] is Busy
    other.execute("ROLLBACK")
    other.close()
    keep_house(desk, 0.5)
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]
    assert [row.path for row in rows(desk)] == ["acme/inbound/a"]
    desk.close()


def keep_house(desk: Desk, seconds: float) -> None:
    async def run() -> None:
        try:
            async with asyncio.timeout(seconds):
                await desk.housekeeping.run()
        except TimeoutError:
            pass

    desk.run(run())
