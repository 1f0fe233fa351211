"""The process that runs pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wharfinger.app import process
from wharfinger.app.backends import open_database, open_hint, open_keyring, open_store, open_targets, registry
from wharfinger.app.metrics import meter

if TYPE_CHECKING:
    from wharfinger.config.settings import Settings


def work(settings: Settings, *, express: bool = False) -> None:
    """Be a worker until SIGTERM, or until the supervisor is gone: then finish what has begun, give back the rest, and return."""
    from wharfinger.engine.checkpoint import Checkpointer
    from wharfinger.engine.presence import present
    from wharfinger.engine.worker import Worker
    from wharfinger.ledger.checkpoint import signer

    line = process.lifeline()
    database, store, hint = open_database(settings), open_store(settings), open_hint(settings)
    worker = Worker(
        database.ledger,
        store,
        open_targets(settings, store),
        settings.pipelines,
        registry(),
        hint,
        gates=database.gates,
        owner=line.owner,
        batch=settings.workers.batch,
        lease_s=settings.workers.lease_s,
        express=express,
        checkpoint=Checkpointer(
            database.audit, signer(open_keyring(settings, database.audit)), settings.workers.checkpoint_s
        ),
        meter=meter(settings),
    )
    process.stop_by(worker.stop, line)
    line.ready("worker")
    with present(settings.data / "run"):
        worker.work()
    hint.close()
    store.close()
    database.close()
