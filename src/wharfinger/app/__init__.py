"""The composition root: settings in, one wired process out. The only room that knows every room; a module for each process."""

from wharfinger.app.backends import (
    comparisons,
    copy_ledger,
    look_into,
    move_ledger_aside,
    open_database,
    open_hint,
    open_keyring,
    open_source,
    open_store,
    open_targets,
    premises,
    registry,
    store_path,
)
from wharfinger.app.http import receive
from wharfinger.app.metrics import expose
from wharfinger.app.process import is_served
from wharfinger.app.retention import retain
from wharfinger.app.sftp import listen
from wharfinger.app.sources import reconcilers, watch
from wharfinger.app.supervisor import bind, serve
from wharfinger.app.worker import work

__all__ = [
    "bind",
    "comparisons",
    "copy_ledger",
    "expose",
    "is_served",
    "listen",
    "look_into",
    "move_ledger_aside",
    "open_database",
    "open_hint",
    "open_keyring",
    "open_source",
    "open_store",
    "open_targets",
    "premises",
    "receive",
    "reconcilers",
    "registry",
    "retain",
    "serve",
    "store_path",
    "watch",
    "work",
]
