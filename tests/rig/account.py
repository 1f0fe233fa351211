"""Holds the end of a run against what the client knows and what a fault-free run made; it sees what a user sees."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from rig.inotify import Watch
from rig.seeded import SEEDED
from rig.serving import Keeper, prepare, wharf
from rig.uploading import upload
from rig.waiting import wait_until

Record = Mapping[str, Any]

SLACK_S = 20.0
"""Nothing is stranded for longer than a lease and a second, but a busy machine may take so long to start processes."""

LOOK_S = 300.0
"""Reading every object may take so long, where each is a request to a busy service."""

FINAL = {"transferred", "failed", "quarantined"}


class Account:
    """
    Of one directory with `wharf serve` in it, from before the first upload on. `results` tells the bytes that are to be delivered
    for each name.
    """

    def __init__(self, directory: Path, results: Mapping[str, bytes]) -> None:
        self.directory, self.results = directory, results
        self.watch = Watch(directory / "out")

    def records(self) -> list[Record]:
        """What is in custody; an upload that was cut off is not."""
        listed: list[Record] = wharf(self.directory, "files", "--limit", "1000000")
        return [record for record in listed if record["status"] != "partial"]

    def settle(self, seconds: float = 60.0) -> list[Record]:
        """The records, as soon as every name has been delivered, or will not be, and nothing is under way."""
        wait_until("something came of every file", self._has_all, seconds=seconds)
        return wait_until("all is settled", self._settled, seconds=seconds)  # type: ignore[no-any-return]

    def _has_all(self) -> bool:
        """Looks at the directory alone, for as long as that suffices: commands cost time."""
        self.watch.read()
        return {name[: -len(".01K1F9Z0000000000000000000.gz")] for name in self.watch.moved} >= set(
            self.results
        ) or bool(self._settled())

    def _settled(self) -> list[Record]:
        records = self.records()
        names = {name(record) for record in records}
        is_over = names >= set(self.results) and {record["status"] for record in records} <= FINAL
        return records if is_over else []

    def check(self, sent: Mapping[str, bytes], tries: Mapping[str, int]) -> list[Record]:
        """Nothing was lost, stranded, changed, or made visible twice. `tries`: how often the client sent each name."""
        records = self.records()
        versions = Counter(map(name, records))
        assert set(versions) == set(sent), "every acknowledged file has a record, and no other file has"
        assert all(versions[each] <= tries[each] for each in sent), "no file has more versions than it was sent times"
        assert {record["status"] for record in records} == {"transferred"}
        for record in records:
            assert record["sha256"] == hashlib.sha256(sent[name(record)]).hexdigest()
        self._check_directory(records)
        self._check_bucket(records)
        assert wharf(self.directory, "store", "verify", seconds=LOOK_S)["problems"] == []
        return records

    def _check_directory(self, records: list[Record]) -> None:
        self.watch.read()
        assert self.watch.moved == {delivered(record): 1 for record in records}, "each name became visible once"
        visible = {path.name: path for path in (self.directory / "out").iterdir() if path.name[0] != "."}
        assert set(visible) == set(self.watch.moved)
        for record in records:
            assert visible[delivered(record)].read_bytes() == self.results[name(record)]

    def _check_bucket(self, records: list[Record]) -> None:
        objects = wharf(self.directory, "store", "ls", seconds=LOOK_S)
        kept = Counter((o["about"]["run"], o["sha256"]) for o in objects if o["bucket"] == "kept")
        meant = {(r["file_id"], hashlib.sha256(self.results[name(r)]).hexdigest()): 1 for r in records}
        assert kept == meant, "each delivery is in the bucket once"
        landed = Counter(o["about"]["file_id"] for o in objects if o["bucket"] == "inbox")
        assert {landed[r["file_id"]] for r in records} == {1}, "the store has what the ledger tells of"


def name(record: Record) -> str:
    """The name that the client gave the file."""
    return str(record["key"]).rpartition("/")[2]


def delivered(record: Record) -> str:
    """The name that the pipeline gives it."""
    return f"{name(record)}.{record['version']}.gz"


def stranded(records: list[Record], *, since: float) -> float:
    """The longest time in seconds that a file took from its upload, or from `since` (epoch s) if that was later."""
    return max(at(r["transfer_timestamp"]) - max(at(r["upload_timestamp"]), since) for r in records)


def at(stamp: str) -> float:
    """Epoch seconds of a time as commands print it."""
    return datetime.fromisoformat(stamp).timestamp()


def calm(directory: Path, sent: Mapping[str, bytes]) -> dict[str, bytes]:
    """What a fault-free run delivers for each name, with a ledger of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WHARF_LEDGER", raising=False)
        prepare(directory)
        with Keeper(directory, {SEEDED: ""}) as keeper:
            upload(sent, directory / "key", keeper.port)
            out = directory / "out"
            wait_until("all are delivered", lambda: len(list(out.glob("[!.]*"))) == len(sent))
            return {path.name.rsplit(".", 2)[0]: path.read_bytes() for path in out.glob("[!.]*")}
