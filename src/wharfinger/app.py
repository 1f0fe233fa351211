"""The composition root: settings in, one wired process out. The only module that knows every room."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, unquote, urlsplit

from wharfinger.engine.lifeline import Lifeline
from wharfinger.engine.supervise import Child, Notice, Supervisor
from wharfinger.engine.sweep import sweep
from wharfinger.errors import ConfigError, LedgerError, UsageError
from wharfinger.ledger import MANY, Catalog, Database, Hint
from wharfinger.ledger.hint import DatagramHint
from wharfinger.store import Store, Target, disk

if TYPE_CHECKING:  # a command that only looks at the ledger is quick because it loads none of them
    from wharfinger.config.place import Place
    from wharfinger.config.settings import Http, Metrics, Settings, Sftp, Source
    from wharfinger.ingest.backup import Premises
    from wharfinger.ingest.bucket import Bucket
    from wharfinger.ingest.folder import Folder
    from wharfinger.ingest.landing import Landing
    from wharfinger.ingest.reconcile import Reconciler
    from wharfinger.ingest.watch import Round
    from wharfinger.ledger.keyring import Keyring
    from wharfinger.steps.registry import Registry
    from wharfinger.telemetry.meter import Meter
    from wharfinger.telemetry.metrics import Reading

LEDGERS = {
    "sqlite": "wharfinger.ledger.sqlite:SqliteDatabase",
    "postgresql": "wharfinger.ledger.postgres:PostgresDatabase",
}
SERVERS = {"postgresql", "s3"}
"""Schemes whose URL names a server: its backend reads it."""

ASIDE = {
    "sqlite": "wharfinger.ledger.sqlite.aside:move_aside",
    "postgresql": "wharfinger.ledger.postgres.aside:move_aside",
}
HINTS = {"postgresql": "wharfinger.ledger.postgres.hint:PostgresHint"}
"""Where hosts share the ledger, it wakes them all; else those of one machine wake each other."""

COPIES = {"sqlite": "wharfinger.ledger.sqlite.aside:copy_to"}
STORES = {"file": "wharfinger.store.local:open_url", "s3": "wharfinger.store.s3:open_url"}
ADDRESS = "wharfinger.store.s3.address:address"

REBIND_S = 5.0
"""How long a port may still be held by the children of a supervisor that was killed a moment ago."""

_BIND_FIXES = {
    errno.EADDRINUSE: "stop what listens there, or set {}.port (0 takes a free one)",
    errno.EACCES: "set {}.port above 1023",
}


def registry() -> Registry:
    """Every step that a pipeline may use, by name."""
    from wharfinger.steps.registry import Registry

    return Registry()


def open_database(settings: Place) -> Database:
    """The ledger's database: `sqlite` is `<data>/ledger.db`, `sqlite:///path` another file, `postgresql://...` on a server."""
    scheme, place = _ledger(settings)
    disk.make_missing(str(settings.data))
    return cast(Database, _load(LEDGERS[scheme])(place, tree=settings.bucket))


def move_ledger_aside(settings: Place) -> str:
    """Give the ledger another name, which is the answer: the next `open_database` makes a new one. Raises Busy while it is in use."""
    scheme, place = _ledger(settings)
    return str(_load(ASIDE[scheme])(place))


def premises(settings: Settings) -> Premises:
    """Where this installation keeps what a backup needs. Raises UsageError where another system keeps it."""
    from wharfinger.ingest.backup import Premises

    (ledger, at), store = _ledger(settings), urlsplit(_store(settings)).scheme
    if ledger != "sqlite" or store != "file":
        raise UsageError(
            f"the ledger is in {ledger}, the store in {store}: wharf backs up what is in files of this machine",
            fix="back these up by their own means, the ledger first: its database's dump, then the bucket's versions",
        )
    sftp = settings.listeners.sftp
    return Premises(settings.data, Path(at), store_path(settings), (settings.path, *(sftp.host_keys if sftp else ())))


def copy_ledger(settings: Place, target: Path) -> None:
    """A copy of the ledger as it is now, as a new file; it may be in use."""
    scheme, path = _ledger(settings)
    _load(COPIES[scheme])(path, target)


@contextmanager
def look_into(settings: Place, copy: Path) -> Iterator[Catalog]:
    """A copy that `copy_ledger` made."""
    scheme, _ = _ledger(settings)
    with closing(cast(Database, _load(LEDGERS[scheme])(str(copy), tree=settings.bucket))) as database:
        yield database.catalog


def open_store(settings: Place) -> Store:
    """The store of objects: `local` is `<data>/store`, `file:///path` another directory, `s3://bucket/prefix` a bucket."""
    url = _store(settings)
    return cast(Store, _load(STORES[urlsplit(url).scheme])(url, store_path(settings)))


def store_path(settings: Place) -> Path:
    """The local directory that uploads are staged in: that of the store, or for one elsewhere `<data>/spool`; nothing is opened or made."""
    parts = urlsplit(_store(settings))
    return Path(unquote(parts.path)) if parts.scheme == "file" else settings.data / "spool"


def open_hint(settings: Place) -> Hint:
    """The line by which the processes of this installation wake each other."""
    scheme, place = _ledger(settings)
    return cast(Hint, _load(HINTS[scheme])(place)) if scheme in HINTS else DatagramHint(settings.data / "run")


def open_keyring(settings: Place) -> Keyring:
    """The keys that this installation signs with; the first is made when there is none. Raises LedgerError."""
    from wharfinger.ledger.keyring import Keyring

    return Keyring(settings.data)


def open_targets(settings: Settings, store: Store) -> Mapping[str, Target]:
    """Every destination of the configuration, by name."""
    from wharfinger.store.bucket import BucketTarget
    from wharfinger.store.directory import DirectoryTarget

    targets: dict[str, Target] = {}
    for name, place in settings.destinations.items():
        if place.directory is not None:
            targets[name] = DirectoryTarget(store, name, place.directory, place.prefix)
        else:
            targets[name] = BucketTarget(store, name, place.bucket, place.prefix)
    return targets


def work(settings: Settings, *, express: bool = False) -> None:
    """Be a worker until SIGTERM, or until the supervisor is gone: then finish what has begun, give back the rest, and return."""
    from wharfinger.engine.checkpoint import Checkpointer
    from wharfinger.engine.worker import Worker
    from wharfinger.ledger.checkpoint import signer

    lifeline = _lifeline()
    database, store, hint = open_database(settings), open_store(settings), open_hint(settings)
    worker = Worker(
        database.ledger,
        store,
        open_targets(settings, store),
        settings.pipelines,
        registry(),
        hint,
        gates=database.gates,
        owner=lifeline.owner,
        batch=settings.workers.batch,
        lease_s=settings.workers.lease_s,
        express=express,
        checkpoint=Checkpointer(database.audit, signer(open_keyring(settings)), settings.workers.checkpoint_s),
        meter=_meter(settings),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    lifeline.watch(worker.stop)
    lifeline.ready("worker")
    worker.work()
    hint.close()
    store.close()
    database.close()


def listen(settings: Settings, bound: socket.socket) -> None:
    """Be the SFTP server on `bound` until SIGTERM, or until the supervisor is gone."""
    import uvloop

    from wharfinger.ingest import Land, land
    from wharfinger.ingest.landing import Landing

    def opened() -> Land:
        bound.close()
        return partial(land, open_store(settings), open_database(settings).ledger, settings.bucket)

    with closing(Landing(opened)) as landing:
        uvloop.run(_listen(settings, bound, landing))


async def _listen(settings: Settings, bound: socket.socket, landing: Landing) -> None:
    import asyncio
    import gc

    from wharfinger.ingest import prepare
    from wharfinger.ingest.sftp import server
    from wharfinger.store.staging import Staging

    assert settings.listeners.sftp
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    lifeline = _lifeline()
    lifeline.watch(partial(loop.call_soon_threadsafe, stopped.set))
    loop.add_reader(landing.sentinel, stopped.set)  # without it nothing lands: the supervisor starts both anew
    database, store, hint = open_database(settings), open_store(settings), open_hint(settings)
    listener = await server.serve(
        settings.listeners.sftp,
        bound,
        store=store,
        staging=Staging(store.staging),
        database=database,
        keyring=open_keyring(settings),
        land=landing,
        prepare=partial(prepare, store, settings.bucket),
        customers=settings.customers,
        min_free=settings.min_free,
        data=settings.data,
        hint=hint.send,
        meter=_meter(settings),
    )
    gc.freeze()  # what stands for good is not looked through again and again for garbage
    host, port = bound.getsockname()[:2]
    lifeline.ready(f"sftp {host}:{port} {listener.fingerprint}")
    await stopped.wait()
    loop.remove_reader(landing.sentinel)
    await listener.close()
    hint.close()
    store.close()
    database.close()


def receive(settings: Settings, bound: socket.socket) -> None:
    """Be the HTTP server on `bound` until SIGTERM, or until the supervisor is gone. Raises UsageError where its libraries are missing."""
    import uvloop

    _http_server()
    uvloop.run(_receive(settings, bound))


def _http_server() -> None:
    """Raises UsageError where the libraries of the HTTP listener are not installed."""
    try:
        import_module("wharfinger.ingest.http.server")
    except ModuleNotFoundError as exc:
        raise UsageError(f"the HTTP listener needs {exc.name}", fix="pip install 'wharfinger[http]'") from exc


async def _receive(settings: Settings, bound: socket.socket) -> None:
    import asyncio

    from wharfinger.ingest import land
    from wharfinger.ingest.http import server

    place = settings.listeners.http
    assert place
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    lifeline = _lifeline()
    lifeline.watch(partial(loop.call_soon_threadsafe, stopped.set))
    with (
        closing(open_database(settings)) as database,
        closing(open_store(settings)) as store,
        closing(open_hint(settings)) as hint,
    ):
        listener = await server.serve(
            place,
            bound,
            bucket=settings.bucket,
            store=store,
            database=database,
            land=partial(asyncio.to_thread, partial(land, store, database.ledger, settings.bucket)),
            customers=settings.customers,
            min_free=settings.min_free,
            data=settings.data,
            hint=hint.send,
        )
        host, port = bound.getsockname()[:2]
        lifeline.ready(f"{'https' if place.certificate else 'http'} {host}:{port}")
        await stopped.wait()
        await listener.close()


def watch(settings: Settings) -> None:
    """Take files from the sources until SIGTERM, or until the supervisor is gone."""
    import threading

    from wharfinger.ingest import account
    from wharfinger.ingest.watch import Watch

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    lifeline = _lifeline()
    lifeline.watch(stopped.set)
    account.forget_all_but(settings.data, settings.sources)
    with reconcilers(settings) as found:
        rounds = [_round(settings.sources[name], reconciler) for name, reconciler in found.items()]
        watch = Watch(rounds, told=partial(account.record, settings.data))
        watch.start()
        lifeline.ready("sources")
        stopped.wait()
        watch.stop()
        watch.join()


def _round(place: Source, reconciler: Reconciler) -> Round:
    from wharfinger.ingest import watch
    from wharfinger.ingest.queue import Queue

    if place.directory is not None:
        return watch.Round(reconciler, partial(watch.stirrings, place.directory), place.scan_s)
    if not place.queue:
        return watch.Round(reconciler, watch.ticks, place.scan_s)
    queue = Queue.at(place.queue)
    return watch.Round(reconciler, queue.stirrings, place.scan_s, queue.confirm)


def _open_source(name: str, place: Source) -> Folder | Bucket:
    from wharfinger.ingest.bucket import Bucket
    from wharfinger.ingest.folder import Folder
    from wharfinger.ingest.remote import Remote

    if place.directory is not None:
        return Folder(name, place)
    try:
        return Bucket(name, place, Remote(_load(ADDRESS)(place.bucket)))
    except ConfigError as exc:
        text = f"sources.{name}.bucket: {str(exc).removeprefix('store: ')}"
        raise ConfigError(text, code=exc.code, fix=exc.fix) from exc


@contextmanager
def reconcilers(settings: Settings) -> Iterator[Mapping[str, Reconciler]]:
    """What holds each source of the configuration against the ledger, by name."""
    from wharfinger.ingest import land
    from wharfinger.ingest.reconcile import Reconciler

    with (
        closing(open_database(settings)) as database,
        closing(open_store(settings)) as store,
        closing(open_hint(settings)) as hint,
    ):
        yield {
            name: Reconciler(
                _open_source(name, place),
                customer=place.customer,
                weight=settings.customers[place.customer].weight,
                bucket=settings.bucket,
                database=database,
                store=store,
                land=partial(land, store, database.ledger, settings.bucket),
                min_free=settings.min_free,
                late_s=place.late_s,
                hint=hint.send,
            )
            for name, place in settings.sources.items()
        }


def expose(settings: Settings, bound: socket.socket) -> None:
    """Answer Prometheus on `bound` until SIGTERM, or until the supervisor is gone."""
    from wharfinger.telemetry.endpoint import PATH, Endpoint
    from wharfinger.telemetry.metrics import Exposition

    lifeline = _lifeline()
    database = open_database(settings)
    endpoint = Endpoint(bound, Exposition(_figures_directory(settings), lambda: _readings(settings, database)))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: endpoint.stop())
    lifeline.watch(endpoint.stop)
    host, port = bound.getsockname()[:2]
    lifeline.ready(f"metrics {host}:{port}{PATH}")
    endpoint.serve()
    database.close()


def _readings(settings: Settings, database: Database) -> Iterator[Reading]:
    from wharfinger.ingest.account import accounts
    from wharfinger.ledger.gauge import readings
    from wharfinger.store.space import disks
    from wharfinger.telemetry.metrics import Reading

    yield from readings(database.catalog.counts(), time.time())
    for path, free in disks(store_path(settings), settings.data).items():
        yield Reading("wharf_free_bytes", free, (str(path),))
    yield Reading("wharf_min_free_bytes", settings.min_free)
    for account in accounts(settings.data):
        yield Reading("wharf_unaccounted_files", account.unaccounted, (account.source,))


def _meter(settings: Settings) -> Meter:
    """What this process counts, where somebody wants to know."""
    if settings.metrics is None:
        from wharfinger.telemetry.meter import SILENT

        return SILENT
    from wharfinger.telemetry.metrics import instruments

    return instruments(_figures_directory(settings))


def _figures_directory(settings: Settings) -> Path:
    return settings.data / "run" / "metrics"


def _lifeline() -> Lifeline:
    return Lifeline.inherited(os.environ, owner=f"{socket.gethostname()}-{os.getpid()}")


def serve(settings: Settings, notice: Callable[[Notice], None]) -> bool:
    """
    Keep the listeners, the workers and what watches the sources alive until SIGTERM or SIGINT; False where a second signal left
    them no time to finish. `notice` hears of every start and death. Raises LedgerError where the ledger was lost, ConfigError
    for unusable host keys.
    """
    database = open_database(settings)
    _refuse_lost(database, settings)
    if settings.listeners.sftp:
        _check_host_keys(settings.listeners.sftp, settings.data)
    if settings.listeners.http:
        _check_http(settings.listeners.http, settings.data)
    wharf = (sys.executable, "-m", "wharfinger", "--config", str(settings.path))
    children = [
        Child(f"worker-{n}", (*wharf, "worker", *(("--express",) if n == 1 and settings.workers.count > 1 else ())))
        for n in range(1, settings.workers.count + 1)
    ]
    bound = _bound(settings)
    children += [
        Child(name, (*wharf, verb, "--fd", str(listening.fileno())), (listening.fileno(),))
        for name, verb, listening in bound
    ]
    _forget_figures(settings)
    if settings.sources:
        children.append(Child("sources", (*wharf, "watch")))
    hint = open_hint(settings)
    had_time = Supervisor(children, notice=notice, bereaved=partial(sweep, database.ledger, hint)).run()
    hint.close()
    database.close()
    return had_time


def _bound(settings: Settings) -> list[tuple[str, str, socket.socket]]:
    """The children that serve a socket which outlives them: name, verb and socket of each."""
    wanted = (
        ("sftp", "listen", settings.listeners.sftp, "listeners.sftp"),
        ("http", "http", settings.listeners.http, "listeners.http"),
        ("metrics", "metrics", settings.metrics, "metrics"),
    )
    return [(name, verb, bind(key, place)) for name, verb, place, key in wanted if place]


def _forget_figures(settings: Settings) -> None:
    """What the processes of an earlier `wharf serve` have counted."""
    from wharfinger.telemetry.metrics import forget_dead

    forget_dead(_figures_directory(settings), counts=True)


def _refuse_lost(database: Database, settings: Settings) -> None:
    """
    A new ledger in the place of a lost one would hide what is in custody. Where it has users, a crash may have come before the first
    arrival was recorded: that leaves one group of objects.
    """
    from wharfinger.ingest.rebuild import lost

    with closing(open_store(settings)) as store:
        count = lost(store, database.catalog, settings.bucket)
    if count > (MANY if database.accounts.users() else 0):
        raise LedgerError(
            f"the ledger knows none of the oldest files in the store ({count} were looked up)",
            code="LEDGER_LOST",
            fix="wharf ledger rebuild --missing; then start again",
        )


def _check_host_keys(place: Sftp, data: Path) -> None:
    """Before a listener is started: it would fail, and be started again, for ever."""
    from wharfinger.ingest.sftp.hostkey import host_keys

    host_keys(place.host_keys, data)


def _check_http(place: Http, data: Path) -> None:
    """Likewise."""
    from wharfinger.ingest.http import ticket

    _http_server()
    ticket.secret(place.secret, data)


def bind(key: str, place: Sftp | Http | Metrics) -> socket.socket:
    """
    A listening socket for what the configuration says under `key` ("listeners.sftp"), to be handed to a child: connections wait in it
    while a child that died is replaced.
    """
    deadline = time.monotonic() + REBIND_S
    while True:
        try:
            family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
            bound = socket.create_server((place.host, place.port), family=family, backlog=1024)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise UsageError(
                f"cannot listen on {place.host}:{place.port}: {exc.strerror}",
                code="PORT_BUSY" if exc.errno == errno.EADDRINUSE else "CANNOT_LISTEN",
                fix=_BIND_FIXES.get(exc.errno or 0, "set {}.host to an address of this machine").format(key),
            ) from exc
        bound.set_inheritable(True)
        return bound


def _ledger(settings: Place) -> tuple[str, str]:
    """The scheme, and what its backend opens: a path, or the URL of a server."""
    url = f"sqlite://{settings.data / 'ledger.db'}" if settings.ledger == "sqlite" else settings.ledger
    scheme = url.partition("://")[0]
    return (scheme, url) if scheme in SERVERS else _split(url, "ledger", LEDGERS)


def _store(settings: Place) -> str:
    """The store's URL. Raises ConfigError where no backend has its scheme, or a directory is not named from the root."""
    url = f"file://{quote(str(settings.data / 'store'))}" if settings.store == "local" else settings.store
    if urlsplit(url).scheme not in SERVERS:
        _split(url, "store", STORES)
    return url


def _split(url: str, key: str, known: Mapping[str, str]) -> tuple[str, str]:
    parts = urlsplit(url)
    if parts.scheme not in known:
        names = ", ".join(f"{scheme}://..." if scheme in SERVERS else f"{scheme}:///path" for scheme in known)
        raise ConfigError(f"{key}: no backend for '{parts.scheme}:'", fix=f"use one of: {names}")
    if parts.netloc or not parts.path.startswith("/"):
        raise ConfigError(
            f"{key}: {url!r} names no absolute path", fix=f"write it with three slashes: {parts.scheme}:///path"
        )
    return parts.scheme, unquote(parts.path)


def _load(spec: str) -> Callable[..., Any]:
    module, _, name = spec.partition(":")
    try:
        return cast(Callable[..., Any], getattr(import_module(module), name))
    except ModuleNotFoundError as exc:
        extra = module.split(".")[2]
        raise ConfigError(
            f"{extra} needs {exc.name}, which is not installed", fix=f"pip install 'wharfinger[{extra}]'"
        ) from exc
