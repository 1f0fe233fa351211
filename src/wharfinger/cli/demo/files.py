"""A customer's files, as they come in life: tables, archives of one and of many, an empty, a broken, a large one, awkward names."""

from __future__ import annotations

import gzip
import random
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One file of the demo and what ought to become of it."""

    name: str
    ends: str  # a Status
    write: Callable[[Path], None]
    dropped: bool = False  # into a watched folder; else it is sent by SFTP

    @property
    def base(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("/")[2]


def samples(megabytes: int) -> list[Sample]:
    """The demo's files; the large one has `megabytes` MB. The same bytes at every run."""
    return [
        Sample("claims 2026-11 (final).csv", "transferred", lambda p: _write(p, _claims(seed=1, rows=4_000))),
        Sample("invoice #4711; corrected.csv", "transferred", lambda p: _write(p, _claims(seed=2, rows=60))),
        Sample("Überweisungen März – 支払.csv", "transferred", lambda p: _write(p, _claims(seed=3, rows=900))),
        Sample("readings.ndjson", "transferred", lambda p: _write(p, _readings(seed=4, rows=2_000))),
        Sample("empty.csv", "transferred", lambda p: _write(p, [])),
        Sample("orders.csv.gz", "transferred", lambda p: _gzip(p, _claims(seed=5, rows=50_000))),
        Sample(
            "statements.zip", "transferred", lambda p: _zip(p, {"statements 2026-11.csv": _claims(seed=6, rows=20_000)})
        ),
        Sample("month-end 2026-11.zip", "transferred", lambda p: _zip(p, _branches())),
        Sample("scans/letter 0042.csv", "transferred", lambda p: _write(p, _claims(seed=9, rows=300)), dropped=True),
        Sample("truncated-on-the-way.csv.gz", "quarantined", _broken),
        Sample(f"meter-export-{megabytes}MB.csv", "transferred", lambda p: _large(p, megabytes)),
    ]


def _claims(seed: int, rows: int) -> Iterator[bytes]:
    rand = random.Random(seed)  # noqa: S311 - sample data
    yield b"claim_id,policy,date,amount_eur,status,remark\n"
    for n in range(rows):
        day, status = rand.randint(1, 28), rand.choice(("open", "paid", "refused", "in review"))
        remark = rand.choice(("", "roof, hail", '"see letter, page 2"', "Wasserschaden", "重複"))
        line = f"{seed:02d}-{n:06d},P{rand.randint(10**6, 10**7 - 1)},2026-11-{day:02d},{rand.randint(50, 900_000) / 100:.2f}"
        yield f"{line},{status},{remark}\n".encode()


def _readings(seed: int, rows: int) -> Iterator[bytes]:
    rand = random.Random(seed)  # noqa: S311 - sample data
    for n in range(rows):
        yield b'{"meter":"M-%04d","minute":%d,"kwh":%.3f}\n' % (rand.randint(1, 400), n, rand.random() * 3)


def _write(path: Path, lines: Iterator[bytes] | list[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(lines)


def _gzip(path: Path, lines: Iterator[bytes]) -> None:
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        file.writelines(lines)


def _branches() -> dict[str, Iterator[bytes]]:
    """A table for each branch office, and a note beside them."""
    tables = {f"{town}/claims.csv": _claims(seed=20 + n, rows=300) for n, town in enumerate(("Bergen", "Køge", "Łódź"))}
    return {**tables, "READ ME.txt": iter([b"The month's claims, a folder for each branch office.\n"])}


def _zip(path: Path, members: Mapping[str, Iterator[bytes]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, lines in members.items():
            with archive.open(name, "w") as file:
                for line in lines:
                    file.write(line)


def _broken(path: Path) -> None:
    _gzip(path, _claims(seed=7, rows=5_000))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 2 // 3)


def _large(path: Path, megabytes: int) -> None:
    block = b"".join(_claims(seed=8, rows=20_000))[:MB]
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(block)
