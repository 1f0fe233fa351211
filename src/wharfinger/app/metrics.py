"""The process that Prometheus asks, and what the others count for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wharfinger.app import process
from wharfinger.app.backends import open_database, store_path
from wharfinger.ledger import Database

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from wharfinger.config.settings import Settings
    from wharfinger.telemetry.meter import Meter
    from wharfinger.telemetry.metrics import Reading


def expose(settings: Settings, bound: socket.socket) -> None:
    """Answer Prometheus on `bound` until SIGTERM, or until the supervisor is gone."""
    from wharfinger.telemetry.endpoint import PATH, Endpoint
    from wharfinger.telemetry.metrics import Exposition

    line = process.lifeline()
    database = open_database(settings)
    begun = time.time()
    endpoint = Endpoint(bound, Exposition(_directory(settings), lambda: _readings(settings, database, begun)))
    process.stop_by(endpoint.stop, line)
    host, port = bound.getsockname()[:2]
    line.ready(f"metrics {host}:{port}{PATH}")
    endpoint.serve()
    database.close()


def _readings(settings: Settings, database: Database, begun: float) -> Iterator[Reading]:
    from wharfinger.ingest.delivered import last
    from wharfinger.ledger.gauge import readings
    from wharfinger.store.space import disks
    from wharfinger.telemetry.metrics import Reading

    now = time.time()
    yield from readings(database.catalog.counts(), now)
    since = database.audit.waits_since()
    yield Reading("wharf_checkpoint_age_seconds", 0.0 if since is None else max(0.0, now - since))
    for path, free in disks(store_path(settings), settings.data).items():
        yield Reading("wharf_free_bytes", free, (str(path),))
    yield Reading("wharf_min_free_bytes", settings.min_free)
    yield from source_readings(settings, begun, now)
    for holdings in last(settings.data):
        yield Reading("wharf_unaccounted_deliveries", holdings.unaccounted, (holdings.destination,))


def source_readings(settings: Settings, begun: float, now: float) -> Iterator[Reading]:
    """How each source of the configuration is looked at; where it is not, since `begun` (epoch s), how much it holds is not known."""
    from wharfinger.ingest.account import accounts
    from wharfinger.telemetry.metrics import Reading

    found = {account.source: account for account in accounts(settings.data)}
    for name, source in settings.sources.items():
        account = found.get(name)
        age = max(0.0, now - (account.at if account else begun))
        yield Reading("wharf_source_look_age_seconds", age, (name,))
        if account is None or account.error or account.is_old(age, source.scan_s):
            yield Reading("wharf_source_up", 0.0, (name,))
        else:
            yield Reading("wharf_source_up", 1.0, (name,))
            yield Reading("wharf_unaccounted_files", account.unaccounted, (name,))


def meter(settings: Settings) -> Meter:
    """What this process counts, where somebody wants to know."""
    if settings.metrics is None:
        from wharfinger.telemetry.meter import SILENT

        return SILENT
    from wharfinger.telemetry.metrics import instruments

    return instruments(_directory(settings))


def _directory(settings: Settings) -> Path:
    return settings.data / "run" / "metrics"


def forget_figures(settings: Settings) -> None:
    """Forget what the processes of an earlier `wharf serve` have counted."""
    from wharfinger.telemetry.metrics import forget_dead

    forget_dead(_directory(settings), counts=True)
