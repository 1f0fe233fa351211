from __future__ import annotations

from pathlib import Path

import pytest

from wharfinger.errors import Rejected
from wharfinger.steps import Scratch, testkit
from wharfinger.steps.rename import STEP


def test_name_is_made_by_the_template(tmp_path: Path) -> None:
    ran = testkit.run(STEP, tmp_path, {"orders.csv": b"1"}, options={"to": "{customer}-{date:%Y%m%d}-{stem}{suffix}"})
    assert [(made.name, made.data) for made in ran.outputs] == [("acme-20241001-orders.csv", b"1")]
    assert ran.facts == {"name": "acme-20241001-orders.csv"}


def test_no_bytes_move(tmp_path: Path) -> None:
    testkit.run(STEP, tmp_path, {"orders.csv": b"1"}, options={"to": "{stem}.txt"})
    assert not (tmp_path / "run1" / "scratch").exists()


def test_type_stays(tmp_path: Path) -> None:
    assert (
        testkit.run(STEP, tmp_path, {"a": b"%PDF-1.7"}, options={"to": "a.txt"}).outputs[0].media_type
        == "application/pdf"
    )


def test_unsafe_name_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    source = testkit.Input(tmp_path / "a", "..", testkit.arrival())
    source.close()
    with pytest.raises(Rejected) as caught:
        STEP.run([source], testkit.configured(STEP, {"to": "{name}"}), Scratch(tmp_path))
    assert caught.value.code == "NAME_UNSAFE"


@pytest.mark.parametrize("name", ["{folder}/{name}", "{nmae}", "..", ""])
def test_template_of_no_name_is_refused_by_the_configuration(name: str) -> None:
    with pytest.raises(ValueError, match="to"):
        testkit.configured(STEP, {"to": name})
