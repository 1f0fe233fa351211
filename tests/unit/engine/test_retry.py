from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.engine import retry
from wharfinger.errors import Busy, LedgerError

seconds = st.floats(min_value=0.001, max_value=1e6)


@given(tries=st.integers(0, 10_000), base_s=seconds, cap_s=seconds, rand=st.floats(0, 1, exclude_max=True))
def test_a_delay_stays_below_cap_and_exponential(tries: int, base_s: float, cap_s: float, rand: float) -> None:
    delay = retry.delay(tries, rand=lambda: rand, base_s=base_s, cap_s=cap_s)
    assert 0 <= delay <= cap_s
    assert delay <= base_s * 2.0 ** min(tries, 64)


@given(tries=st.integers(0, 62), base_s=seconds)
def test_the_longest_delay_doubles_with_each_failure(tries: int, base_s: float) -> None:
    first, second = (retry.delay(n, rand=lambda: 0.5, base_s=base_s, cap_s=float("inf")) for n in (tries, tries + 1))
    assert second == 2 * first


def test_delays_spread_over_the_whole_window() -> None:
    rand = random.Random(1).random
    delays = [retry.delay(3, rand=rand, base_s=1.0, cap_s=900.0) for _ in range(2000)]
    assert min(delays) < 0.1
    assert 7.9 < max(delays) < 8.0
    assert 3.8 < sum(delays) / len(delays) < 4.2


@pytest.mark.parametrize("error", [Busy("held"), LedgerError("full", code="NO_SPACE")], ids=lambda e: e.code)
def test_a_ledger_that_is_busy_or_full_is_asked_again(error: LedgerError) -> None:
    errors = [error]

    def call() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert retry.insist(call) == "done"


def test_an_error_that_no_repeat_mends_is_raised_at_once() -> None:
    def call() -> None:
        calls.append(1)
        raise LedgerError("torn", code="LEDGER_CORRUPT")

    calls: list[int] = []
    with pytest.raises(LedgerError, match="torn"):
        retry.insist(call)
    assert calls == [1]
