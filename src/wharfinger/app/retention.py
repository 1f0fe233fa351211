"""The process that removes the bytes of files whose time is over."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from wharfinger.app import process
from wharfinger.app.backends import open_database, open_store

if TYPE_CHECKING:
    from wharfinger.config.settings import Settings


def retain(settings: Settings) -> None:
    """Keep to the rules of `retention` until SIGTERM, or until the supervisor is gone."""
    import threading

    from wharfinger.engine.retention import Retainer

    line, stopped = process.lifeline(), threading.Event()
    process.stop_by(stopped.set, line)
    with closing(open_database(settings)) as database, closing(open_store(settings)) as store:
        retainer = Retainer(database.catalog, database.purges, store, settings.retention, stopped)
        line.ready("retention")
        retainer.run()
