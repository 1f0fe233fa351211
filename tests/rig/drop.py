"""A watched folder, and a store and a ledger that take its files into custody."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from wharfinger.config.settings import Source
from wharfinger.ingest import Land, land
from wharfinger.ingest.account import Account
from wharfinger.ingest.folder import Folder
from wharfinger.ingest.reconcile import Reconciler
from wharfinger.ingest.source import Source as Place
from wharfinger.ledger import Filter
from wharfinger.ledger.sqlite import SqliteDatabase
from wharfinger.model import FileRecord
from wharfinger.store.local import LocalStore


class Drop:
    """All in one directory. Time passes for the folder's rules when a test says so: `later`."""

    def __init__(self, root: Path, **how: Any) -> None:
        self.path = root / "drop"
        self.path.mkdir(exist_ok=True)
        self.place = Source("acme", self.path, **{"complete": "rename", "original": "delete", **how})
        self.store = LocalStore(root / "store")
        self.database = SqliteDatabase(root / "ledger.db", tree="inbox")
        self.hinted: list[str] = []
        self.ahead = 1.0  # s: nothing counts as changed just now
        self.land: Land = partial(land, self.store, self.database.ledger, "inbox")
        self.folder, self.reconciler = self.anew()

    def anew(self, *, min_free: int = 0, clock: Callable[[], float] = time.time) -> tuple[Folder, Reconciler]:
        """As after a restart of the process."""
        self.folder = Folder(
            "scans", self.place, clock=lambda: clock() + self.ahead, monotonic=lambda: time.monotonic() + self.ahead
        )
        self.reconciler = self.over(self.folder, min_free=min_free, clock=clock)
        return self.folder, self.reconciler

    def over(self, source: Place, *, min_free: int = 0, clock: Callable[[], float] = time.time) -> Reconciler:
        """What takes from any source into this custody."""
        return Reconciler(
            source,
            customer="acme",
            weight=1.0,
            bucket="inbox",
            database=self.database,
            store=self.store,
            land=lambda uploads: self.land(uploads),
            min_free=min_free,
            late_s=self.place.late_s,
            hint=self.hinted.extend,
            clock=lambda: clock() + self.ahead,
        )

    def __enter__(self) -> Drop:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()
        self.store.close()

    def later(self, seconds: float) -> None:
        self.ahead += seconds

    def write(self, name: str, data: bytes = b"data") -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def replace(self, name: str, data: bytes) -> None:
        """As a careful sender does: whole under another name, then renamed."""
        partial = self.write(f"{name}.tmp", data)
        os.replace(partial, self.path / name)

    def look(self, **how: Any) -> Account:
        return self.reconciler.look(**how)

    def records(self) -> list[FileRecord]:
        """What is in custody, oldest first."""
        return self.database.catalog.files(Filter(), limit=10_000)[::-1]

    def custody(self) -> list[tuple[str, bytes]]:
        """The key and the bytes of everything in custody, by key and version."""
        found = []
        for record in sorted(self.records(), key=lambda each: (each.key, each.version)):
            with self.store.open(record.ref) as file:
                found.append((record.key, file.read()))
        return found

    def left(self) -> list[str]:
        """What lies in the folder, directories left out."""
        return sorted(str(path.relative_to(self.path)) for path in self.path.rglob("*") if not path.is_dir())

    def staged(self) -> list[str]:
        return sorted(os.listdir(self.store.staging))
