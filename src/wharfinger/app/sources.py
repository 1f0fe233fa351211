"""The process that takes files from the sources, and what it holds each of them against the ledger with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from wharfinger.app import process
from wharfinger.app.backends import open_database, open_hint, open_queue, open_source, open_store

if TYPE_CHECKING:
    from wharfinger.config.settings import Settings, Source
    from wharfinger.ingest.reconcile import Reconciler
    from wharfinger.ingest.watch import Round


def watch(settings: Settings) -> None:
    """Take files from the sources until SIGTERM, or until the supervisor is gone."""
    import threading

    from wharfinger.ingest import account
    from wharfinger.ingest.watch import Watch

    line, stopped = process.lifeline(), threading.Event()
    process.stop_by(stopped.set, line)
    with reconcilers(settings) as found:
        rounds = [_round(settings.sources[name], reconciler) for name, reconciler in found.items()]
        watch = Watch(rounds, told=partial(account.record, settings.data))
        watch.start()
        line.ready("sources")
        stopped.wait()
        watch.stop()
        watch.join()


def _round(place: Source, reconciler: Reconciler) -> Round:
    from wharfinger.ingest import watch

    if place.directory is not None:
        return watch.Round(reconciler, partial(watch.stirrings, place.directory), place.scan_s)
    if not place.queue:
        return watch.Round(reconciler, watch.ticks, place.scan_s)
    queue = open_queue(place)
    return watch.Round(reconciler, queue.stirrings, place.scan_s, queue.confirm)


@contextmanager
def reconcilers(settings: Settings) -> Iterator[Mapping[str, Reconciler]]:
    """What holds each source of the configuration against the ledger, by name."""
    from wharfinger.config.order import grouping
    from wharfinger.ingest import land
    from wharfinger.ingest.reconcile import Reconciler

    with (
        closing(open_database(settings)) as database,
        closing(open_store(settings)) as store,
        closing(open_hint(settings)) as hint,
    ):
        yield {
            name: Reconciler(
                open_source(name, place),
                customer=place.customer,
                weight=settings.customers[place.customer].weight,
                bucket=settings.bucket,
                database=database,
                store=store,
                land=partial(land, store, database.ledger, settings.bucket, group=grouping(settings.order)),
                min_free=settings.min_free,
                late_s=place.late_s,
                hint=hint.send,
            )
            for name, place in settings.sources.items()
        }
