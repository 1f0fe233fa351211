"""A file, a user and an entry under the names that everybody sees: JSON, columns, reports. Times are RFC 3339 in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wharfinger.cli.why import Why
from wharfinger.cli.words import stamp
from wharfinger.ingest.account import Account
from wharfinger.ledger import Entry, User
from wharfinger.model import ChildRecord, Delivered, Event, FileRecord

if TYPE_CHECKING:
    from wharfinger.ingest.delivered import Holdings


def file(record: FileRecord, why: Why | None = None) -> dict[str, Any]:
    """A file's record; the names are a promise (tests/unit/cli/test_public.py)."""
    return {
        "file_id": record.file_id,
        "source_bucket": record.source_bucket,
        "destination_bucket": record.destination_bucket,
        "key": record.key,
        "customer_id": record.customer_id,
        "upload_timestamp": stamp(record.upload_timestamp),
        "transfer_timestamp": _stamp(record.transfer_timestamp),
        "status": str(record.status),
        "error_message": record.error_message,
        "version": record.version,
        "size": record.size,
        "sha256": record.sha256,
        "attempts": record.attempts,
        "pipeline": record.pipeline,
        "revision": record.revision,
        "manifest_id": record.manifest_id,
        "media_type": record.media_type,
        "source": record.source,
        "user": record.user,
        "state": str(record.state),
        "owner": record.owner,
        "group": record.group,
        "behind": record.behind,
        "purge_timestamp": _stamp(record.purged),
        "waits": why.text if why else "",
        "until": _stamp(why.until if why else None),
    }


def run(record: FileRecord | ChildRecord, why: Why | None = None) -> dict[str, Any]:
    """A run of a file: its own, or one that its pipelines have called."""
    if isinstance(record, FileRecord):
        return {**file(record, why), "run": record.file_id, "parent": None, "member": ""}
    return {
        **child(record),
        "file_id": record.file_id,
        "key": record.key,
        "customer_id": record.customer_id,
        "revision": record.revision,
        "owner": record.owner,
        "waits": why.text if why else "",
        "until": _stamp(why.until if why else None),
    }


def partial(entry: Entry) -> dict[str, Any]:
    """An upload that is not whole yet: a row of the same list, without a file_id."""
    return {
        "file_id": None,
        "source_bucket": "",
        "destination_bucket": "",
        "key": entry.path,
        "customer_id": entry.path.partition("/")[0],
        "upload_timestamp": stamp(entry.mtime),
        "transfer_timestamp": None,
        "status": "partial",
        "error_message": "",
        "version": "",
        "size": entry.size,
        "sha256": "",
        "attempts": 0,
        "pipeline": "",
        "revision": "",
        "manifest_id": "",
        "media_type": "",
        "source": "",
        "user": entry.user,
        "state": "",
        "owner": "",
        "group": "",
        "behind": "",
        "purge_timestamp": None,
        "waits": "upload still open, or cut off; its sender can resume it",
        "until": None,
    }


def delivery(delivered: Delivered) -> dict[str, Any]:
    """One visible effect of a file's run."""
    return {
        "destination": delivered.destination,
        "bucket": delivered.bucket,
        "key": delivered.key,
        "version": delivered.version,
        "size": delivered.size,
        "sha256": delivered.sha256,
        "at": stamp(delivered.at),
    }


def child(record: ChildRecord) -> dict[str, Any]:
    """A child run of a file."""
    return {
        "run": record.id,
        "parent": record.parent,
        "pipeline": record.pipeline,
        "step": record.step,
        "member": record.member,
        "size": record.size,
        "state": str(record.state),
        "status": str(record.status),
        "attempts": record.attempts,
        "error_message": record.error_message,
        "waits": record.waits,
        "due": _stamp(record.due),
    }


def event(happened: Event) -> dict[str, Any]:
    """One line of a file's history."""
    return {
        "n": happened.n,
        "at": stamp(happened.at),
        "kind": happened.kind,
        "data": dict(happened.data),
        "hash": happened.hash,
    }


def account(found: Account) -> dict[str, Any]:
    """What a look at a source found."""
    return {**asdict(found), "at": stamp(found.at)}


def holdings(found: Holdings) -> dict[str, Any]:
    """What a comparison of a destination found."""
    return {**asdict(found), "at": stamp(found.at), "unaccounted": found.unaccounted}


def user(known: User, fingerprints: Mapping[str, str]) -> dict[str, Any]:
    """Somebody who may sign in; secrets stay out. `fingerprints` maps each public key to its own."""
    return {
        "user": known.name,
        "customer_id": known.customer,
        "home": known.home,
        "keys": [fingerprints[key] for key in known.keys],
        "password": bool(known.password_hash),
        "disabled": known.disabled,
    }


def _stamp(at: float | None) -> str | None:
    return None if at is None else stamp(at)
