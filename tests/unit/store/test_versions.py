from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

from wharfinger.model import is_ulid
from wharfinger.store.versions import Versions, time_of


def test_a_version_is_a_ulid_with_its_time() -> None:
    version = Versions(lambda: 1_753_900_000.125)()
    assert is_ulid(version)
    assert time_of(version) == 1_753_900_000.125


def test_versions_grow_within_one_millisecond() -> None:
    fresh = Versions(lambda: 1000.0)
    made = [fresh() for _ in range(1000)]
    assert made == sorted(set(made))


def test_versions_grow_when_the_clock_goes_back() -> None:
    clock = itertools.chain([1000.0, 999.0, 0.0], itertools.repeat(1000.001))
    fresh = Versions(lambda: next(clock))
    made = [fresh() for _ in range(5)]
    assert made == sorted(set(made))


def test_versions_grow_though_the_clock_went_back_between_two_processes() -> None:
    before = Versions(lambda: 1000.0)()
    fresh = Versions(lambda: 999.0, after=before)
    assert before < fresh() < fresh()


def test_versions_begin_with_the_clock_where_nothing_came_before() -> None:
    assert time_of(Versions(lambda: 1000.0, after="")()) == time_of(Versions(lambda: 1000.0, after="V1")()) == 1000.0


def test_threads_never_get_the_same_version() -> None:
    fresh = Versions()
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: fresh(), range(4000)))
    assert len(set(made)) == 4000


def test_two_instances_differ() -> None:
    assert Versions(lambda: 1000.0)() != Versions(lambda: 1000.0)()


def test_a_text_that_is_no_ulid_has_no_time() -> None:
    assert time_of("") == time_of("lost+found") == time_of("I" * 26) == 0.0
