"""A file over ranges: the bytes of a plain one, with few requests and the next piece fetched ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wharfinger.errors import Corrupt, NotFound
from wharfinger.store.s3 import reader as module
from wharfinger.store.s3.reader import reader

DATA = bytes(range(256)) * 4  # 1024 bytes, in pieces of 100


class Ranges:
    """Serves ranges of some bytes, and remembers which."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.asked: list[int] = []
        self.lock = threading.Lock()

    def __call__(self, start: int, end: int) -> bytes:
        with self.lock:
            self.asked.append(start // module.PIECE)
        return self.data[start:end]


@pytest.fixture(scope="module")
def ahead() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 100)


places = st.integers(0, 1200)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(places, st.integers(-1, 400)), max_size=8))
def test_any_reads_give_the_bytes_of_a_plain_file(ahead: ThreadPoolExecutor, reads: list[tuple[int, int]]) -> None:
    with reader(Ranges(), len(DATA), ahead) as file:
        for place, count in reads:
            assert file.seek(place) == place
            assert file.read(count) == DATA[place : None if count < 0 else place + count]


def test_who_reads_in_order_asks_for_each_piece_once(ahead: ThreadPoolExecutor) -> None:
    ranges = Ranges()
    with reader(ranges, len(DATA), ahead) as file:
        assert b"".join(iter(lambda: file.read(7), b"")) == DATA
    assert sorted(ranges.asked) == list(range(11))


def test_the_next_piece_is_fetched_ahead(ahead: ThreadPoolExecutor) -> None:
    came = threading.Event()

    class Watched(Ranges):
        def __call__(self, start: int, end: int) -> bytes:
            if start == 200:
                came.set()
            return super().__call__(start, end)

    with reader(Watched(), len(DATA), ahead) as file:
        file.seek(150)
        file.read(1)
        assert came.wait(10)


def test_the_head_of_a_file_costs_one_request(ahead: ThreadPoolExecutor) -> None:
    ranges = Ranges()
    with reader(ranges, len(DATA), ahead) as file:
        assert file.read(20) == DATA[:20]
    assert ranges.asked == [0]


def test_what_is_not_there_is_told_at_once(ahead: ThreadPoolExecutor) -> None:
    def missing(start: int, end: int) -> bytes:
        raise NotFound("not there")

    with pytest.raises(NotFound):
        reader(missing, 10, ahead)


def test_an_object_that_is_shorter_than_it_should_be_is_corrupt(ahead: ThreadPoolExecutor) -> None:
    with reader(Ranges(DATA[:150]), len(DATA), ahead) as file:
        file.seek(100)
        with pytest.raises(Corrupt, match="gave 50 of the bytes 100 to 200"):
            file.read(10)
