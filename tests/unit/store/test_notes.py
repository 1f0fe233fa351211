"""What the journal's notes say, to this version and to others."""

from __future__ import annotations

import orjson
import pytest

from wharfinger.model import Arrival, Group, Purge, Status
from wharfinger.store import noted_purge, purge_note

PURGE = Purge(8.0, "ann", "old", Status.TRANSFERRED)
GONE = Arrival("inbox", "acme/a", "V1", 5, "ab" * 32, "acme", 7.0, source="sftp", mtime=3.0, purge=PURGE)


def written(arrival: Arrival) -> dict[str, dict[str, object]]:
    """The note as the journal gives it back."""
    found: dict[str, dict[str, object]] = orjson.loads(orjson.dumps(purge_note(arrival)))
    return found


def test_a_purge_reads_as_it_was_noted() -> None:
    assert noted_purge(written(GONE)) == GONE


def test_the_group_is_the_configurations_to_tell() -> None:
    grouped = Arrival("inbox", "acme/a", "V1", 5, "ab" * 32, "acme", 7.0, purge=PURGE, group=Group("acme"))
    assert "group" not in written(grouped)["purged"]


def test_a_note_of_a_version_that_knew_less_of_a_file_is_read() -> None:
    note = written(GONE)
    for name in ("mtime", "source"):
        del note["purged"][name]
    found = noted_purge(note)
    assert found
    assert (found.file_id, found.mtime, found.source, found.purge) == (GONE.file_id, None, "", PURGE)


@pytest.mark.parametrize("name", ["bucket", "sha256", "purge"])
def test_a_note_without_what_every_file_has_is_damaged(name: str) -> None:
    note = written(GONE)
    del note["purged"][name]
    with pytest.raises(ValueError, match="cannot read"):
        noted_purge(note)
