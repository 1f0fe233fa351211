"""Groups that cross to another process and back: bytes by their descriptors, errors as they were, and its death."""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing.connection
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from rig.waiting import wait_until
from wharfinger.errors import LedgerError, StoreError
from wharfinger.ingest import Answers, Land, Upload, land
from wharfinger.ingest.landing import Landing
from wharfinger.ingest.sftp.sentence import sentence
from wharfinger.ledger import Filter
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import Arrival
from wharfinger.store.local import LocalStore
from wharfinger.store.staging import Staged, Staging
from wharfinger.store.versions import Versions

fresh = Versions()


def opened(root: Path) -> Land:
    return partial(land, LocalStore(root / "store"), SqliteDatabase(str(root / "ledger.db"), tree="in").ledger, "in")


@pytest.fixture
def landing(tmp_path: Path) -> Iterator[Landing]:
    LocalStore(tmp_path / "store").close()
    landing = Landing(lambda: opened(tmp_path))
    yield landing
    with suppress(LedgerError):
        landing.close()


def asked(landing: Landing, uploads: Sequence[Upload]) -> Answers:
    return asyncio.run(landing(uploads))


@pytest.fixture(autouse=True)
def _descriptors() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


OPEN: list[Staged] = []


def staged(root: Path, content: bytes) -> tuple[Staged, Upload]:
    file = Staging(root / "store" / "staging").create()
    OPEN.append(file)
    file.write(0, content)
    sha256 = hashlib.sha256(content).hexdigest()
    return file, Upload(file.path, f"acme/{fresh()}.gz", fresh(), len(content), sha256, "acme", fd=file.fd)


def content(store: LocalStore, arrival: Arrival) -> bytes:
    with store.open(arrival.ref) as file:
        return file.read()


def test_a_group_lands_with_its_bytes(tmp_path: Path, landing: Landing) -> None:
    contents = [b"\x1f\x8b\x08" + bytes([n]) * n for n in range(64)]
    files = [staged(tmp_path, content) for content in contents]
    answers = asked(landing, [upload for _, upload in files])
    landing.close()
    store, database = LocalStore(tmp_path / "store"), SqliteDatabase(str(tmp_path / "ledger.db"), tree="in")
    arrivals = [answer for answer in answers if isinstance(answer, Arrival)]
    assert [content(store, a) for a in arrivals] == contents
    assert {a.media_type for a in arrivals} == {"application/gzip"}
    assert {r.file_id for r in database.catalog.files(Filter(), limit=100)} == {a.file_id for a in arrivals}
    database.close()


def test_each_is_told_its_own_error_with_what_mends_it(tmp_path: Path, landing: Landing) -> None:
    (_, good), (short, bad) = staged(tmp_path, b"good"), staged(tmp_path, b"short")
    os.ftruncate(short.fd, 1)
    arrived, error = asked(landing, [good, bad])
    assert isinstance(arrived, Arrival)
    assert isinstance(error, StoreError)
    assert (error.code, error.fix) == ("INTEGRITY_MISMATCH", "send it again")


def test_an_error_of_all_is_raised_and_the_next_group_lands(tmp_path: Path, landing: Landing) -> None:
    _, good = staged(tmp_path, b"good")
    with pytest.raises(LedgerError, match="could not land"):
        asked(landing, [staged(tmp_path, b"%d" % n)[1] for n in range(101)])
    assert isinstance(asked(landing, [good])[0], Arrival)


def test_its_death_is_an_error_for_who_asks_and_at_the_end(tmp_path: Path, landing: Landing) -> None:
    _, good = staged(tmp_path, b"good")
    (child,) = multiprocessing.active_children()
    assert child.pid
    os.kill(child.pid, signal.SIGKILL)
    multiprocessing.connection.wait([landing.sentinel], timeout=10)
    with pytest.raises(LedgerError, match="cannot be reached"):
        asked(landing, [good])
    with pytest.raises(LedgerError, match="was killed by SIGKILL"):
        landing.close()


def test_a_group_that_is_not_handed_over_whole_ends_it(tmp_path: Path, landing: Landing) -> None:
    """Else the next group would be taken for the rest of this one."""
    (_, good), (_, more) = staged(tmp_path, b"good"), staged(tmp_path, b"more")
    for upload in (replace(good, fd=-1), more):
        with pytest.raises(LedgerError, match="cannot be reached"):
            asked(landing, [upload])
    assert multiprocessing.connection.wait([landing.sentinel], timeout=10)


def test_the_disks_trouble_stays_internal_on_the_way(tmp_path: Path, landing: Landing) -> None:
    _, good = staged(tmp_path, b"good")
    (tmp_path / "store" / "journal").rmdir()
    (tmp_path / "store" / "journal").write_bytes(b"in the way")
    (error,) = asked(landing, [good])
    assert isinstance(error, StoreError)
    assert str(tmp_path) in str(error)
    assert str(tmp_path) not in sentence(error)


def test_what_keeps_it_from_starting_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"in the way")
    with pytest.raises(StoreError, match="could not be made"):
        Landing(lambda: opened(tmp_path))


def test_signals_are_not_for_it_and_it_ends_with_its_listener(tmp_path: Path, landing: Landing) -> None:
    _, good = staged(tmp_path, b"good")
    assert isinstance(asked(landing, [good])[0], Arrival)
    (child,) = multiprocessing.active_children()
    assert child.pid
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(child.pid, number)
    assert isinstance(asked(landing, [staged(tmp_path, b"more")[1]])[0], Arrival)
    landing.close()
    wait_until("it has ended", lambda: not child.is_alive())
