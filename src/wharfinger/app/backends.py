"""What the URLs of the configuration name, opened: ledger, store, hint, keys, destinations, sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, unquote, urlsplit

from wharfinger.errors import ConfigError
from wharfinger.ledger import Audit, Copies, Database, Hint
from wharfinger.ledger.hint import DatagramHint
from wharfinger.store import Store, Target, archive, disk

if TYPE_CHECKING:  # a command that only looks at the ledger is quick because it loads none of them
    from wharfinger.config.place import Place
    from wharfinger.config.settings import Settings, Source
    from wharfinger.ingest.backup import Premises
    from wharfinger.ingest.bucket import Bucket
    from wharfinger.ingest.delivered import Comparison
    from wharfinger.ingest.folder import Folder
    from wharfinger.ingest.queue import Queue
    from wharfinger.ledger.keyring import Keyring
    from wharfinger.steps.registry import Registry

LEDGERS = {
    "sqlite": "wharfinger.ledger.sqlite:SqliteDatabase",
    "postgresql": "wharfinger.ledger.postgres:PostgresDatabase",
}
SERVERS = {"postgresql", "s3"}
"""Schemes whose URL names a server: its backend reads it."""

BACKUPS = {
    "s3": ("versions or a replica of the bucket", "its versions or its replica, where it is lost"),
}
"""What a backup of such a server's part is, and what brings it back."""

ASIDE = {
    "sqlite": "wharfinger.ledger.sqlite.aside:move_aside",
    "postgresql": "wharfinger.ledger.postgres.aside:move_aside",
}
HINTS = {"postgresql": "wharfinger.ledger.postgres.hint:PostgresHint"}
"""Where hosts share the ledger, it wakes them all; else those of one machine wake each other."""

COPIES = {
    "sqlite": "wharfinger.ledger.sqlite.copy:SqliteCopies",
    "postgresql": "wharfinger.ledger.postgres.copy:PostgresCopies",
}
STORES = {"file": "wharfinger.store.local:open_url", "s3": "wharfinger.store.s3:open_url"}
ADDRESS = "wharfinger.store.s3.address:address"
URLS = {"postgresql": "wharfinger.ledger.postgres.url:read", "s3": ADDRESS}
"""What reads the URL of a server, and finds its mistakes."""


def registry() -> Registry:
    """Every step that a pipeline may use, by name."""
    from wharfinger.steps.registry import Registry

    return Registry()


def check_urls(settings: Place) -> None:
    """Raises ConfigError for what is wrong with the URLs of ledger and store, as opening them would; nothing is opened."""
    _ledger(settings)
    _store(settings)
    for url in (settings.ledger, settings.store):
        scheme = urlsplit(url).scheme
        if scheme in URLS:
            _load(URLS[scheme])(url)


def open_database(settings: Place) -> Database:
    """
    The ledger's database: `sqlite` is `<data>/ledger.db`, `sqlite:///path` another file, `postgresql://...` on a server. Raises UsageError
    where a restore is not done.
    """
    scheme, place = _ledger(settings)
    archive.refuse_restoring(settings.data)
    disk.make_missing(str(settings.data))
    return cast(Database, _load(LEDGERS[scheme])(place, tree=settings.bucket))


def move_ledger_aside(settings: Place) -> str:
    """Give the ledger another name, which is the answer: the next `open_database` makes a new one. Raises Busy while it is in use."""
    scheme, place = _ledger(settings)
    return str(_load(ASIDE[scheme])(place))


def premises(settings: Settings) -> Premises:
    """Where this installation keeps what a backup needs, and what of it servers keep."""
    from wharfinger.ingest.backup import Left, Premises

    (scheme, at), store = _ledger(settings), _store(settings)
    server = urlsplit(store).scheme
    left = (Left("store", store, *BACKUPS[server]),) if server in SERVERS else ()
    ledger = settings.data / "ledger.db" if scheme in SERVERS else Path(at)
    sftp, http = settings.listeners.sftp, settings.listeners.http
    keys = (*(sftp.host_keys if sftp else ()), *((http.secret, http.certificate, http.key) if http else ()))
    others = tuple(key for key in keys if key)
    return Premises(settings.data, ledger, store_path(settings), settings.path, others, left)


def open_copies(settings: Place) -> Copies:
    """What copies the ledger as a whole, and brings it back."""
    scheme, place = _ledger(settings)
    return cast(Copies, _load(COPIES[scheme])(place))


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


def open_keyring(settings: Place, audit: Audit) -> Keyring:
    """The keys that this installation signs with; see trust.join. Raises LedgerError."""
    from wharfinger.ledger import trust

    return trust.join(settings.data, audit)


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


def comparisons(settings: Settings, store: Store, *, sizes_only: bool = False) -> Mapping[str, Comparison]:
    """What holds each destination of the configuration against the ledger, by name."""
    from wharfinger.ingest.delivered import Comparison

    found = {}
    for name, target in open_targets(settings, store).items():
        place = settings.destinations[name]
        keeps = place.directory is None if place.keeps is None else place.keeps
        where = place.bucket if place.directory is None else str(place.directory)
        found[name] = Comparison(name, where, target, prefix=place.prefix, keeps=keeps, sizes_only=sizes_only)
    return found


def open_source(name: str, place: Source) -> Folder | Bucket:
    """What a source of the configuration names. Raises ConfigError where its URL has a mistake."""
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


def check_sources(settings: Settings) -> None:
    """Raises ConfigError for a source that cannot be looked at here: its URL has a mistake, or its library is missing. Nobody is asked."""
    for name, place in settings.sources.items():
        open_source(name, place)
        if place.queue:
            open_queue(place)


def open_queue(place: Source) -> Queue:
    """Where S3 tells what comes into the bucket of this source."""
    from wharfinger.ingest.queue import Queue

    return Queue.at(place.queue, _load(ADDRESS)(place.bucket).prefix)


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
            f"{extra} needs {exc.name}, which is not installed", fix=f"in the checkout: pip install '.[{extra}]'"
        ) from exc
