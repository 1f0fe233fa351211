from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from rig.archives import zipped
from wharfinger.errors import Rejected
from wharfinger.steps import testkit
from wharfinger.steps.decompress import STEP, without_suffix

CSV = b"id,amount\n1,2\n"
PACKED = gzip.compress(CSV)


def test_gzip_comes_out_without_its_suffix(tmp_path: Path) -> None:
    ran = testkit.run(STEP, tmp_path, {"a.csv.gz": PACKED})
    assert [(made.name, made.media_type, made.data) for made in ran.outputs] == [("a.csv", "text/csv", CSV)]
    assert ran.facts == {"format": "gzip", "bytes": len(CSV)}


def test_zip_comes_out_under_the_name_of_its_member(tmp_path: Path) -> None:
    ran = testkit.run(STEP, tmp_path, {"batch 7.zip": zipped({"out/a.csv": CSV})})
    assert [(made.name, made.media_type, made.data) for made in ran.outputs] == [("a.csv", "text/csv", CSV)]
    assert ran.facts == {"format": "zip", "bytes": len(CSV)}


def test_bytes_decide_and_not_the_name(tmp_path: Path) -> None:
    assert testkit.run(STEP, tmp_path / "1", {"a.csv": PACKED}).outputs[0].data == CSV
    assert testkit.run(STEP, tmp_path / "2", {"a.gz": zipped({"b": CSV})}).outputs[0].name == "b"


NAMES = {
    "a.csv.gz": "a.csv",
    "A.CSV.GZ": "A.CSV",
    "a.tgz": "a.tar",
    "a.gzip": "a",
    ".gz": ".gz",
    "a.csv": "a.csv",
    "a.gz.gz": "a.gz",
}


@pytest.mark.parametrize(("name", "plain"), NAMES.items())
def test_suffix_is_taken_off(name: str, plain: str) -> None:
    assert without_suffix(name) == plain


@pytest.mark.parametrize(("name", "data"), [("a.csv", CSV), ("empty.csv", b""), ("a.bz2", b"BZh9"), ("a", b"PK\x03")])
def test_what_is_not_compressed_is_handed_on_as_it_is(tmp_path: Path, name: str, data: bytes) -> None:
    ran = testkit.run(STEP, tmp_path, {name: data})
    assert [(made.name, made.data) for made in ran.outputs] == [(name, data)]
    assert ran.facts == {"format": "none", "bytes": len(data)}


def test_what_is_not_compressed_is_rejected_when_told_so(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"'a\.csv' is neither gzip nor zip$") as caught:
        testkit.run(STEP, tmp_path, {"a.csv": CSV}, options={"unless_compressed": "reject"})
    assert caught.value.code == "TYPE_MISMATCH"


@pytest.mark.parametrize(("data", "code"), [(b"", "EMPTY_FILE"), (CSV, "TYPE_MISMATCH"), (b"\x1f", "TYPE_MISMATCH")])
@pytest.mark.parametrize("name", ["a.csv.gz", "A.ZIP"])
def test_name_that_claims_compression_must_be_true(tmp_path: Path, name: str, data: bytes, code: str) -> None:
    with pytest.raises(Rejected, match="although its name says that it is compressed") as caught:
        testkit.run(STEP, tmp_path, {name: data})
    assert caught.value.code == code


def test_document_in_a_zip_container_is_no_compressed_file(tmp_path: Path) -> None:
    workbook = zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"})
    ran = testkit.run(STEP, tmp_path, {"a.xlsx": workbook})
    assert [(made.name, made.data) for made in ran.outputs] == [("a.xlsx", workbook)]


def test_gzip_of_nothing_is_an_empty_file(tmp_path: Path) -> None:
    assert testkit.run(STEP, tmp_path, {"a.gz": gzip.compress(b"")}).outputs[0].data == b""


def test_limits_are_options(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        testkit.run(STEP, tmp_path, {"a.csv.gz": PACKED}, options={"limits": {"output": 5}})
    assert caught.value.code == "DECOMPRESS_LIMIT"


def test_several_inputs_come_out_in_their_order(tmp_path: Path) -> None:
    ran = testkit.run(STEP, tmp_path, {"a.gz": PACKED, "b.csv": CSV, "c.zip": zipped({"c": b"1"})})
    assert [made.name for made in ran.outputs] == ["a", "b.csv", "c"]
    assert [facts["format"] for facts in ran.facts["inputs"]] == ["gzip", "none", "zip"]
