from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.errors import StoreError
from wharfinger.store import extents
from wharfinger.store.extents import Extents

positions = st.integers(0, 20)
spans = st.tuples(positions, st.integers(0, 3)).map(lambda drawn: (drawn[0], drawn[0] + drawn[1]))
changes = st.lists(st.one_of(spans, spans, spans, spans, positions), min_size=5, max_size=20)


def filled(spans: list[tuple[int, int]]) -> Extents:
    made = Extents()
    for start, end in spans:
        made.add(start, end)
    return made


@given(changes, positions, positions)
def test_extents_behave_as_a_set_of_positions(steps: list[tuple[int, int] | int], start: int, end: int) -> None:
    made, model = Extents(), set[int]()
    for step in steps:
        if isinstance(step, tuple):
            made.add(*step)
            model |= set(range(*step))
        else:
            made.cut(step)
            model &= set(range(step))
    intervals = list(made)
    assert {n for span in intervals for n in range(*span)} == model
    assert all(a < b for a, b in intervals)
    assert all(this[1] < following[0] for this, following in pairwise(intervals))
    assert made.reach == next(n for n in range(len(model) + 1) if n not in model)
    missing = made.gaps(end, start)
    assert {n for span in missing for n in range(*span)} == set(range(start, end)) - model
    assert all(a < b for a, b in missing)


def test_pieces_in_order_are_one_interval() -> None:
    assert list(filled([(n, n + 1) for n in range(1000)])) == [(0, 1000)]


def test_a_missing_piece_is_a_gap_until_it_comes() -> None:
    made = filled([(0, 10), (20, 30)])
    assert made.gaps(30) == [(10, 20)]
    made.add(10, 20)
    assert made.gaps(30) == []


def test_scattering_beyond_measure_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extents, "MOST", 10)
    made = filled([(n * 2, n * 2 + 1) for n in range(10)])
    with pytest.raises(StoreError, match="separate pieces") as refused:
        made.add(100, 101)
    assert refused.value.code == "TOO_SCATTERED"
    made.add(1, 2)
    assert len(list(made)) == 9
