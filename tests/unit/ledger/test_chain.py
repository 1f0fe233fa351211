from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.ledger import chain
from wharfinger.model import Event

DATA: list[dict[str, Any]] = [{"key": "a.csv"}, {"owner": "w", "steps": [{"seconds": 0.25}]}, {}]


def a_history(datas: list[dict[str, Any]]) -> list[Event]:
    events, before = [], b""
    for n, data in enumerate(datas, 1):
        before = chain.seal(before, "F", n, 1_750_000_000_000_001 + n, "kind", chain.canonical(data))
        events.append(Event("F", n, (1_750_000_000_000_001 + n) / 1_000_000, "kind", data, before.hex()))
    return events


def test_a_history_as_written_has_no_problems() -> None:
    assert chain.verify(a_history(DATA)) == []
    assert chain.verify([]) == []


def test_the_hashes_are_what_the_documentation_says() -> None:
    datas: list[dict[str, Any]] = [{"b": None, "a": [1, "ü"]}, {"late": 0.25}]
    first, second = a_history(datas)
    one = '["F",1,1750000000000002,"kind",{"a":[1,"ü"],"b":null}]'.encode()
    two = b'["F",2,1750000000000003,"kind",{"late":0.25}]'
    assert first.hash == hashlib.sha256(one).hexdigest()
    assert second.hash == hashlib.sha256(bytes.fromhex(first.hash) + two).hexdigest()


@pytest.mark.parametrize(
    "change",
    [{"data": {"key": "b.csv"}}, {"at": 1.0}, {"kind": "other"}, {"n": 7}, {"file_id": "G"}, {"hash": "00" * 32}],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_changed_event_is_a_problem(change: dict[str, Any], place: int) -> None:
    events = a_history(DATA)
    events[place] = replace(events[place], **change)
    assert chain.verify(events) != []


@pytest.mark.parametrize("place", [0, 1])
def test_an_event_left_out_is_a_problem(place: int) -> None:
    events = a_history(DATA)
    del events[place]
    assert chain.verify(events) != []


def test_events_in_another_order_are_a_problem() -> None:
    first, second, third = a_history(DATA)
    assert chain.verify([second, first, third]) != []


def test_one_changed_event_does_not_accuse_the_others() -> None:
    events = a_history(DATA)
    events[1] = replace(events[1], data={})
    assert chain.verify(events) == ["F: event 2 (kind) or one before it was changed"]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_data_that_went_through_json_has_the_same_form(data: dict[str, Any]) -> None:
    form = chain.canonical(data)
    assert chain.canonical(json.loads(form)) == form
