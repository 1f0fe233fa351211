"""Groups: who is committed with whom, who is told what, and when others are woken."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from wharfinger.errors import NoSpace, WharfingerError
from wharfinger.ingest import Upload
from wharfinger.ingest.sftp.collector import GROUP, PATIENCE, Collector
from wharfinger.model import Arrival


def upload(n: int, customer: str = "acme") -> Upload:
    return Upload(Path(), f"{customer}/{n}", f"{n:026d}", 1, "00" * 32, customer)


def arrival(upload: Upload) -> Arrival:
    return Arrival("b", upload.key, upload.version, upload.size, upload.sha256, upload.customer, 0.0)


class Landing:
    """Stands where `ingest.land` does: notes each group, and lets a test hold it back."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.has_begun = threading.Event()
        self.hinted: list[str] = []

    async def land(self, uploads: Sequence[Upload]) -> list[Arrival | WharfingerError]:
        return await asyncio.to_thread(self._land, uploads)

    def _land(self, uploads: Sequence[Upload]) -> list[Arrival | WharfingerError]:
        self.has_begun.set()
        self.may_go.wait(10)
        self.groups.append([u.key for u in uploads])
        if any(u.key == "acme/13" for u in uploads):
            raise OSError("the disk is gone")
        return [NoSpace("full") if u.key == "acme/7" else arrival(u) for u in uploads]


@pytest.fixture
def landing() -> Landing:
    return Landing()


def collector(landing: Landing) -> Collector:
    return Collector(landing.land, hint=landing.hinted.extend)


def test_an_upload_on_its_own_does_not_wait(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wharfinger.ingest.sftp.collector.PATIENCE", 3600)

    async def run() -> None:
        it = collector(landing)
        async with asyncio.timeout(60):
            assert (await it.land(upload(1))).key == "acme/1"
        await it.close()

    asyncio.run(run())


async def one_and_then(count: int, it: Collector, landing: Landing) -> None:
    """Land one upload, and so many that come while it is committed."""
    landing.may_go.clear()
    futures = [it.land(upload(100))]
    await asyncio.to_thread(landing.has_begun.wait, 10)
    futures += [it.land(upload(n)) for n in range(101, 101 + count)]
    landing.may_go.set()
    await asyncio.gather(*futures)


def test_after_a_large_group_a_small_one_waits_a_little_for_more(landing: Landing) -> None:
    async def run() -> None:
        it = collector(landing)
        await one_and_then(GROUP, it, landing)
        began = asyncio.get_running_loop().time()
        first = it.land(upload(1))
        await asyncio.sleep(0)
        second = it.land(upload(2))
        await asyncio.gather(first, second)
        assert asyncio.get_running_loop().time() - began >= PATIENCE
        await it.close()

    asyncio.run(run())
    assert landing.groups[2:] == [["acme/1", "acme/2"]]


def test_what_comes_during_a_commit_is_the_next_group(landing: Landing) -> None:
    async def run() -> None:
        it = collector(landing)
        await one_and_then(GROUP + 9, it, landing)
        await it.close()

    asyncio.run(run())
    assert [len(group) for group in landing.groups] == [1, GROUP, 9]


def test_each_upload_is_told_its_own_fate(landing: Landing) -> None:
    async def run() -> list[object]:
        it = collector(landing)
        found = await asyncio.gather(*(it.land(upload(n)) for n in (6, 7, 8)), return_exceptions=True)
        await it.close()
        return [type(answer) for answer in found]

    assert asyncio.run(run()) == [Arrival, NoSpace, Arrival]


def test_a_group_that_fails_as_a_whole_fails_each_and_not_the_next(landing: Landing) -> None:
    async def run() -> list[object]:
        it = collector(landing)
        found = await asyncio.gather(*(it.land(upload(n)) for n in (12, 13)), return_exceptions=True)
        found.append(await it.land(upload(14)))
        await it.close()
        return [type(answer) for answer in found]

    assert asyncio.run(run()) == [OSError, OSError, Arrival]


def test_others_are_woken_after_the_answers_and_once_for_all(landing: Landing) -> None:
    async def run() -> None:
        it = collector(landing)
        await asyncio.gather(*(it.land(upload(n)) for n in (1, 2)))
        assert landing.hinted == []
        while not landing.hinted:
            await asyncio.sleep(0)
        await it.close()

    asyncio.run(run())
    assert landing.hinted == [arrival(upload(n)).file_id for n in (1, 2)]


def test_closing_commits_what_waits(landing: Landing) -> None:
    async def run() -> Arrival:
        it = collector(landing)
        future = it.land(upload(1))
        await it.close()
        return future.result()

    assert asyncio.run(run()).key == "acme/1"
    assert len(landing.hinted) == 1


def test_changes_of_the_tree_run_in_the_same_thread(landing: Landing) -> None:
    async def run() -> list[str]:
        it = collector(landing)
        names = [await it.call(lambda: threading.current_thread().name) for _ in range(2)]
        with pytest.raises(NoSpace):
            await it.call(_full)
        await it.close()
        return names

    assert set(asyncio.run(run())) == {"collector_0"}


def _full() -> None:
    raise NoSpace("full")


def test_a_customer_with_one_upload_is_in_the_next_group_whoever_floods(landing: Landing) -> None:
    async def run() -> None:
        it = collector(landing)
        landing.may_go.clear()
        futures = [it.land(upload(100))]
        await asyncio.to_thread(landing.has_begun.wait, 10)
        futures += [it.land(upload(n)) for n in range(101, 101 + 3 * GROUP)]
        futures += [it.land(upload(1, "small")), it.land(upload(2, "small")), it.land(upload(3, "tiny"))]
        landing.may_go.set()
        await asyncio.gather(*futures)
        await it.close()

    asyncio.run(run())
    assert {"small/1", "small/2", "tiny/3"} < set(landing.groups[1])
    flood = [key for group in landing.groups for key in group if key.startswith("acme")]
    assert flood == sorted(flood), "each customer's own uploads keep their order"


def test_with_more_customers_than_a_group_holds_nobody_is_left_out(landing: Landing) -> None:
    async def run() -> None:
        it = collector(landing)
        landing.may_go.clear()
        futures = [it.land(upload(100))]
        await asyncio.to_thread(landing.has_begun.wait, 10)
        futures += [it.land(upload(n, f"c{customer}")) for customer in range(100) for n in range(5)]
        landing.may_go.set()
        await asyncio.gather(*futures)
        await it.close()

    asyncio.run(run())
    first = [key.partition("/")[0] for group in landing.groups[1:] for key in group][:100]
    assert sorted(first) == sorted(f"c{n}" for n in range(100))


@pytest.mark.parametrize("callers", [1, 8])
def test_changes_and_uploads_take_turns(landing: Landing, callers: int) -> None:
    async def run() -> int:
        it, landed, changes = collector(landing), asyncio.Event(), 0

        async def changing() -> None:
            nonlocal changes
            while not landed.is_set():
                await it.call(lambda: None)
                changes += 1

        tasks = [asyncio.create_task(changing()) for _ in range(callers)]
        while changes < 10 * callers:
            await asyncio.sleep(0)
        before = changes
        await it.land(upload(1))
        landed.set()
        waited = changes - before
        await asyncio.gather(*tasks)
        await it.close()
        return waited

    assert asyncio.run(run()) <= 2 * callers


def test_a_change_that_fails_is_told_to_who_asked_for_it_alone(landing: Landing) -> None:
    async def run() -> list[object]:
        it = collector(landing)
        futures = [it.call(work) for work in (lambda: 1, lambda: 1 // 0, lambda: 3)]
        outcomes = await asyncio.gather(*futures, return_exceptions=True)
        await it.close()
        return outcomes

    first, second, third = asyncio.run(run())
    assert (first, third) == (1, 3)
    assert isinstance(second, ZeroDivisionError)
