from __future__ import annotations

from rig.records import NOW, record
from wharfinger.cli import public
from wharfinger.ledger import Entry, User

PROMISED = [
    "file_id",
    "source_bucket",
    "destination_bucket",
    "key",
    "customer_id",
    "upload_timestamp",
    "transfer_timestamp",
    "status",
    "error_message",
    "version",
    "size",
    "sha256",
    "attempts",
    "pipeline",
    "revision",
    "manifest_id",
]


def test_a_file_has_the_public_names() -> None:
    assert [name for name in PROMISED if name not in public.file(record())] == []


def test_a_partial_has_the_names_of_a_file_but_no_id() -> None:
    partial = public.partial(Entry("acme/inbound/a.csv", "partial", size=5, mtime=NOW, user="bob"))
    assert list(partial) == list(public.file(record()))
    assert (partial["file_id"], partial["status"], partial["customer_id"]) == (None, "partial", "acme")


def test_times_are_utc_text_and_absent_times_are_null() -> None:
    row = public.file(record())
    assert row["upload_timestamp"] == "2026-03-01T12:03:31.000Z"
    assert row["transfer_timestamp"] is None


def test_a_user_is_shown_without_secrets() -> None:
    shown = public.user(
        User("bob", "acme", "acme", keys=("ssh-ed25519 AAAA bob",), password_hash="$argon2id$"),
        {"ssh-ed25519 AAAA bob": "SHA256:x"},
    )
    assert shown == {
        "user": "bob",
        "customer_id": "acme",
        "home": "acme",
        "keys": ["SHA256:x"],
        "password": True,
        "disabled": False,
    }
