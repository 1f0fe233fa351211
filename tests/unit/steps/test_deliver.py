from __future__ import annotations

from pathlib import Path

import pytest

from wharfinger.errors import Rejected
from wharfinger.steps import testkit
from wharfinger.steps.deliver import STEP


def test_key_is_that_of_the_arrival_with_the_present_name(tmp_path: Path) -> None:
    ran = testkit.run(
        STEP, tmp_path, {"a.csv": b"1"}, options={"to": "lake"}, of=testkit.arrival("acme/inbound/2024/a.csv.gz")
    )
    assert ran.delivered == {"lake": {"acme/inbound/2024/a.csv": b"1"}}
    assert ran.facts == {"key": "acme/inbound/2024/a.csv", "to": ["lake"]}


def test_file_is_handed_on(tmp_path: Path) -> None:
    ran = testkit.run(STEP, tmp_path, {"a.csv": b"1"}, options={"to": "lake"})
    assert [(made.name, made.data) for made in ran.outputs] == [("a.csv", b"1")]


def test_several_destinations_get_the_same(tmp_path: Path) -> None:
    options = {"to": ["lake", "partner"], "key": "{customer}/{date:%Y/%m}/{name}"}
    ran = testkit.run(STEP, tmp_path, {"a.csv": b"1"}, options=options)
    assert ran.delivered == {"lake": {"acme/2024/10/a.csv": b"1"}, "partner": {"acme/2024/10/a.csv": b"1"}}


def test_destinations_are_known_from_the_options() -> None:
    assert STEP.destinations(testkit.configured(STEP, {"to": "lake"})) == ("lake",)
    assert STEP.destinations(testkit.configured(STEP, {"to": ["a", "b"]})) == ("a", "b")


def test_two_inputs_under_one_key_are_rejected_before_any_is_delivered(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"'acme/all\.csv'") as caught:
        testkit.run(STEP, tmp_path, {"a.csv": b"1", "b.csv": b"2"}, options={"to": "lake", "key": "{customer}/all.csv"})
    assert caught.value.code == "NAME_REPEATED"


def test_several_inputs_are_delivered_each_under_its_key(tmp_path: Path) -> None:
    ran = testkit.run(STEP, tmp_path, {"a.csv": b"1", "b.csv": b"2"}, options={"to": "lake"})
    assert ran.delivered == {"lake": {"acme/inbound/a.csv": b"1", "acme/inbound/b.csv": b"2"}}
    assert [facts["key"] for facts in ran.facts["inputs"]] == ["acme/inbound/a.csv", "acme/inbound/b.csv"]


def test_unsafe_key_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        testkit.run(
            STEP, tmp_path, {"a": b""}, options={"to": "lake", "key": "by/{user}/{name}"}, of=testkit.arrival(user="..")
        )
    assert caught.value.code == "NAME_UNSAFE"


@pytest.mark.parametrize("options", [{}, {"to": []}, {"to": "lake", "key": "/{name}"}, {"to": "lake", "key": "{nmae}"}])
def test_mistake_is_refused_by_the_configuration(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"to|key"):
        testkit.configured(STEP, options)
