"""The composition root: settings in, one wired process out. The only room that knows every room; a module for each process."""

from wharfinger.app.backends import (
    check_sources,
    check_urls,
    comparisons,
    move_ledger_aside,
    open_copies,
    open_database,
    open_hint,
    open_keyring,
    open_source,
    open_store,
    premises,
    registry,
    store_path,
)
from wharfinger.app.http import check_installed, receive
from wharfinger.app.metrics import expose
from wharfinger.app.process import has_changed, is_served, served
from wharfinger.app.retention import retain
from wharfinger.app.sftp import listen
from wharfinger.app.sources import reconcilers, watch
from wharfinger.app.supervisor import bind, refuse_lost, serve
from wharfinger.app.worker import work

__all__ = [
    "bind",
    "check_installed",
    "check_sources",
    "check_urls",
    "comparisons",
    "expose",
    "has_changed",
    "is_served",
    "listen",
    "move_ledger_aside",
    "open_copies",
    "open_database",
    "open_hint",
    "open_keyring",
    "open_source",
    "open_store",
    "premises",
    "receive",
    "reconcilers",
    "refuse_lost",
    "registry",
    "retain",
    "serve",
    "served",
    "store_path",
    "watch",
    "work",
]
