"""Faults of the way in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rig.faults import suppressed
from wharfinger.errors import StoreError
from wharfinger.ingest import backup, rebuild
from wharfinger.ingest.folder import Folder
from wharfinger.ingest.http.door import Door
from wharfinger.ingest.sftp.intake import Intake
from wharfinger.model import Arrival, ulid
from wharfinger.store.staging import Staged
from wharfinger.store.versions import Versions


def gives_new_ids() -> None:
    """A rebuilt ledger takes every arrival for a new version."""
    honest = rebuild._arrival

    def another(*told: Any) -> Arrival:
        arrival = honest(*told)
        return replace(arrival, version=ulid(arrival.at, 0))

    rebuild._arrival = another


def passes_over_a_full_disk() -> None:
    """A write for which there is no room is answered as if it were done."""
    Intake.reserve = lambda *_: None
    Staged.write = suppressed(Staged.write, StoreError)


def backs_up_no_keys() -> None:
    """What lies in the data directory is taken for something that can be made anew."""
    backup._small = lambda *_: iter(())


def removes_by_name_alone() -> None:
    """Whatever lies under the name of an original that was taken is removed."""
    Folder.release = lambda self, found, _: (self._top / found.name).unlink(missing_ok=True)


def takes_every_use_of_a_url_for_a_new_file() -> None:
    """The version of a file that comes by a signed URL is not that of the URL."""
    honest, fresh = Door._check, Versions()
    Door._check = lambda *given: replace(honest(*given), version=fresh())
