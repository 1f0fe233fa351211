"""Records to say things about."""

from __future__ import annotations

from typing import Any

from wharfinger.model import FileRecord, State, Status

NOW = 1_772_366_671.0


def record(**changes: Any) -> FileRecord:
    """A file that has just arrived, but for the changes."""
    known: dict[str, Any] = {
        "file_id": "01KJMQ6Z6R0123456789ABCDEF",
        "source_bucket": "inbox",
        "destination_bucket": "",
        "key": "acme/inbound/a.csv",
        "customer_id": "acme",
        "upload_timestamp": NOW - 60,
        "transfer_timestamp": None,
        "status": Status.UPLOADED,
        "error_message": "",
        "version": "01KJMQ6Z6R0000000000000000",
        "size": 10_500,
        "sha256": "00" * 32,
        "attempts": 0,
        "pipeline": "claims",
        "revision": "ab" * 32,
        "manifest_id": "",
        "media_type": "text/csv",
        "source": "sftp",
        "user": "bob",
        "state": State.READY,
    }
    return FileRecord(**{**known, **changes})
