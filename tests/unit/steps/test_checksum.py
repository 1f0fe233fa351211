from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import pytest

from wharfinger.errors import Rejected
from wharfinger.steps import Scratch, testkit
from wharfinger.steps.checksum import STEP, Options

DATA = b"id,amount\n" * 300_000
SHA256 = hashlib.sha256(DATA).hexdigest()


def test_sha256_is_the_default(tmp_path: Path) -> None:
    ran = testkit.run(STEP, tmp_path, {"a.csv": DATA})
    assert ran.facts == {"sha256": SHA256}
    assert [(made.name, made.data) for made in ran.outputs] == [("a.csv", DATA)]


def test_all_digests_come_from_one_reading(tmp_path: Path) -> None:
    names = ["sha256", "sha512", "sha1", "md5", "crc32"]
    ran = testkit.run(STEP, tmp_path, {"a.csv": DATA}, options={"algorithms": names}, of=testkit.arrival())
    assert ran.facts == {
        **{name: hashlib.new(name, DATA).hexdigest() for name in names[:4]},
        "crc32": f"{zlib.crc32(DATA):08x}",
    }


class Unreadable(testkit.Input):
    def read(self, _size: int = -1, /) -> bytes:
        raise AssertionError("read")


def test_hash_that_is_known_is_not_computed_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    source = Unreadable(tmp_path / "a", "a", None)
    try:
        assert STEP.run([source], Options(), Scratch(tmp_path)).facts == {"sha256": SHA256}
        with pytest.raises(AssertionError, match="read"):
            STEP.run([source], Options(algorithms=("sha256", "md5")), Scratch(tmp_path))
    finally:
        source.close()


@pytest.mark.parametrize("name", [f"{SHA256}.csv", f"report-{SHA256.upper()}_v1.csv", f"20240101-{SHA256}.csv"])
def test_digest_in_the_name_is_compared(tmp_path: Path, name: str) -> None:
    assert testkit.run(STEP, tmp_path, {name: DATA}, options={"expect": "{stem}"}).facts == {"sha256": SHA256}


def test_any_of_the_digests_will_do(tmp_path: Path) -> None:
    options = {"expect": "{stem}", "algorithms": ["sha256", "crc32"]}
    testkit.run(STEP, tmp_path, {f"20240101-{zlib.crc32(DATA):08x}.csv": DATA}, options=options)


@pytest.mark.parametrize(
    "name", [f"{SHA256[:-1]}0.csv", "report.csv", f"x{SHA256}.csv", f"{SHA256}0.csv", f"{SHA256[:32]}.csv"]
)
def test_name_without_the_digest_is_rejected(tmp_path: Path, name: str) -> None:
    with pytest.raises(Rejected, match=f"has sha256 {SHA256}; .* does not say so") as caught:
        testkit.run(STEP, tmp_path, {name: DATA}, options={"expect": "{stem}"})
    assert caught.value.code == "INTEGRITY_MISMATCH"


def test_bytes_can_be_held_against_those_that_arrived(tmp_path: Path) -> None:
    testkit.run(STEP, tmp_path / "1", {"a": DATA}, options={"expect": "{sha256}"})
    with pytest.raises(Rejected):
        testkit.run(
            STEP, tmp_path / "2", {"a": DATA}, options={"expect": "{sha256}"}, of=testkit.arrival(data=b"other")
        )


def test_unknown_algorithm_and_none_are_refused() -> None:
    for algorithms in (["sha3"], []):
        with pytest.raises(ValueError, match="algorithms"):
            testkit.configured(STEP, {"algorithms": algorithms})
