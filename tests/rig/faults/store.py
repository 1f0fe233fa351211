"""Faults of a store and of its targets."""

from __future__ import annotations

from rig.faults import suppressed
from wharfinger.store import archive, directory, disk, local
from wharfinger.store.s3 import pages
from wharfinger.store.s3 import store as s3


def delivers_the_same_again() -> None:
    """What lies at its destination is replaced by the same bytes."""
    directory._lies_there = lambda _: False


def passes_over_a_failed_sync() -> None:
    """A disk that fails is taken for one that has done its work."""
    disk.sync = suppressed(disk.sync, OSError)


def forgets_new_names() -> None:
    """Directories are made without a sync of those that they are in."""
    disk.sync_directory = lambda _: None


def takes_any_bytes() -> None:
    """Other bytes under a name that is taken are no error."""
    local._compare = lambda _: None


def takes_any_bytes_in_a_bucket() -> None:
    """Other bytes under a key that is taken are no error."""
    s3.S3Store._compare = lambda *_: None


def forgets_pages() -> None:
    """Objects in a bucket are acknowledged without a page that tells of them."""
    pages.Pages.keep = lambda *_, **__: None


def copies_without_a_look() -> None:
    """What a backup copies is not held against its hash."""
    archive._check = lambda *_: None
