"""The HTTP listener in this process: what it says where the machine fails, and what it tells the log by itself."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import socket
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw
import pytest

from rig.waiting import wait_until
from wharfinger.config.settings import Customer, Http
from wharfinger.ingest import land
from wharfinger.ingest.http import server, ticket
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.store.local import LocalStore
from wharfinger.store.versions import Versions
from wharfinger.telemetry import throttle

T = TypeVar("T")


def beside(root: Path, work: Callable[[str], T]) -> T:
    """What `work` answers, which is called in a thread with the URL of a listener."""

    async def run() -> T:
        bound = socket.create_server(("127.0.0.1", 0))
        database, store = SqliteDatabase(root / "ledger.db", tree="inbox"), LocalStore(root / "store")
        with closing(database), closing(store):
            listener = await server.serve(
                Http(idle_s=2.0),
                bound,
                bucket="inbox",
                store=store,
                database=database,
                land=partial(asyncio.to_thread, partial(land, store, database.ledger, "inbox")),
                customers={"acme": Customer()},
                min_free=0,
                data=root,
                hint=lambda _: None,
            )
            try:
                return await asyncio.to_thread(work, f"127.0.0.1:{bound.getsockname()[1]}")
            finally:
                await listener.close()

    return asyncio.run(run())


def sign(root: Path, name: str) -> str:
    """What to ask for, to put a file of this name."""
    leave = ticket.Ticket(f"acme/{name}", Versions()(), expires=int(time.time()) + 600, max_size=100)
    return leave.url("", ticket.secret(None, root))


def put(address: str, target: str) -> tuple[int, str]:
    """The status and the code of the answer."""
    with closing(http.client.HTTPConnection(address, timeout=20)) as line:
        line.request("PUT", target, b"body")
        answer = line.getresponse()
        return answer.status, json.loads(answer.read() or b"{}").get("error", {}).get("code", "")


def test_a_ledger_or_a_disk_that_fails_is_trouble_of_ours_and_passes(tmp_path: Path) -> None:
    def work(address: str) -> list[tuple[int, str]]:
        answers = [put(address, sign(tmp_path, "a"))]
        with closing(apsw.Connection(str(tmp_path / "ledger.db"))) as db:
            db.execute("ALTER TABLE name RENAME TO away")
            answers.append(put(address, sign(tmp_path, "b")))
            db.execute("ALTER TABLE away RENAME TO name")
        staging = tmp_path / "store" / "staging"
        staging.rename(tmp_path / "away")
        answers.append(put(address, sign(tmp_path, "c")))
        (tmp_path / "away").rename(staging)
        return [*answers, put(address, sign(tmp_path, "d"))]

    assert beside(tmp_path, work) == [(201, ""), (503, "UNAVAILABLE"), (503, "UNAVAILABLE"), (201, "")]


def test_the_count_of_refused_uploads_is_told_also_where_nothing_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(throttle, "WINDOW_S", 0.5)
    monkeypatch.setattr(server, "WINDOW_S", 0.1)
    monkeypatch.setattr(throttle, "MOST", 1)

    def work(address: str) -> None:
        for _ in range(3):
            assert put(address, "/put/acme/a?signature=no") == (403, "URL_REFUSED")
        wait_until("the rest is told", lambda: "more uploads by URL were refused" in caplog.messages, seconds=5)

    with caplog.at_level(logging.WARNING):
        beside(tmp_path, work)
