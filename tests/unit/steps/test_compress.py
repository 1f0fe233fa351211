from __future__ import annotations

import gzip
import io
import time
import zipfile
from pathlib import Path

import pytest

from wharfinger.steps import compress, testkit
from wharfinger.steps.compress import STEP
from wharfinger.steps.decompress import STEP as DECOMPRESS

TEXT = b"id,amount\n" + b"7,1001\n" * 1000


@pytest.mark.parametrize(("format", "suffix"), {"gzip": ".gz", "zip": ".zip"}.items())
@pytest.mark.parametrize("data", [TEXT, b""], ids=["text", "nothing"])
def test_decompress_undoes_it(tmp_path: Path, format: str, suffix: str, data: bytes) -> None:
    packed = testkit.run(STEP, tmp_path / "1", {"a ü.csv": data}, options={"format": format})
    assert packed.outputs[0].name == "a ü.csv" + suffix
    assert packed.outputs[0].media_type == f"application/{format}"
    assert packed.facts == {"format": format, "bytes": len(packed.outputs[0].data)}
    plain = testkit.run(DECOMPRESS, tmp_path / "2", {packed.outputs[0].name: packed.outputs[0].data})
    assert [(made.name, made.data) for made in plain.outputs] == [("a ü.csv", data)]


def test_gzip_header_has_no_time_no_name_and_no_system(tmp_path: Path) -> None:
    packed = testkit.run(STEP, tmp_path, {"a.csv": TEXT}).outputs[0].data
    assert packed[:8] == b"\x1f\x8b\x08\x00\0\0\0\0"
    assert packed[9] == 255
    assert gzip.decompress(packed) == TEXT


def test_member_of_a_zip_archive_dates_from_1980(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = testkit.run(STEP, tmp_path / "1", {"a.csv": TEXT}, options={"format": "zip"}).outputs[0].data
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    later = testkit.run(STEP, tmp_path / "2", {"a.csv": TEXT}, options={"format": "zip"}).outputs[0].data
    assert first == later
    assert zipfile.ZipFile(io.BytesIO(first)).infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.parametrize("format", ["gzip", "zip"])
def test_level_counts(tmp_path: Path, format: str) -> None:
    data = b"".join(b"%d,%d\n" % (n, n * n % 977) for n in range(5000))
    small, fast = (
        testkit.run(STEP, tmp_path / f"{level}", {"a": data}, options={"format": format, "level": level}).facts["bytes"]
        for level in (9, 1)
    )
    assert small < fast


def test_large_member_is_written_in_the_64_bit_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compress, "LARGE", 1000)
    packed = testkit.run(STEP, tmp_path / "1", {"a.csv": TEXT}, options={"format": "zip"}).outputs[0].data
    assert int.from_bytes(packed[4:6], "little") == 45  # version needed (APPNOTE 4.4.3.2)
    assert testkit.run(DECOMPRESS, tmp_path / "2", {"a.zip": packed}).outputs[0].data == TEXT
