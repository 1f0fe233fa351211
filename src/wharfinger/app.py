"""The composition root: settings in, one wired process out. The only module that knows every room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from wharfinger.config.settings import Settings
from wharfinger.errors import ConfigError
from wharfinger.ledger import Database
from wharfinger.store import Store, Target

LEDGERS = {"sqlite": "wharfinger.ledger.sqlite:SqliteDatabase"}
ASIDE = {"sqlite": "wharfinger.ledger.sqlite.aside:move_aside"}
STORES = {"file": "wharfinger.store.local:LocalStore"}


def open_database(settings: Settings) -> Database:
    """The ledger's database: `sqlite` is `<data>/ledger.db`, `sqlite:///path` another file."""
    url = f"sqlite://{settings.data.resolve() / 'ledger.db'}" if settings.ledger == "sqlite" else settings.ledger
    scheme, path = _split(url, "ledger", LEDGERS)
    return cast(Database, _load(LEDGERS[scheme])(path, tree=settings.bucket))


def open_store(settings: Settings) -> Store:
    """The store of objects: `local` is `<data>/store`, `file:///path` another directory."""
    url = f"file://{settings.data.resolve() / 'store'}" if settings.store == "local" else settings.store
    scheme, path = _split(url, "store", STORES)
    return cast(Store, _load(STORES[scheme])(path))


def open_targets(settings: Settings, store: Store) -> Mapping[str, Target]:
    """Every destination of the configuration, by name."""
    return {}


def move_ledger_aside(settings: Settings) -> Path:
    """Give the ledger's file another name beside it: the next `open_database` makes a new one. Raises Busy while it is in use."""
    url = f"sqlite://{settings.data / 'ledger.db'}" if settings.ledger == "sqlite" else settings.ledger
    scheme, path = _split(url, "ledger", LEDGERS)
    return cast(Path, _load(ASIDE[scheme])(path))


def _split(url: str, key: str, known: Mapping[str, str]) -> tuple[str, str]:
    parts = urlsplit(url)
    if parts.scheme not in known:
        names = ", ".join(f"{scheme}:///path" for scheme in known)
        raise ConfigError(f"{key}: no backend for {url!r}", fix=f"use one of: {names}")
    return parts.scheme, unquote(parts.path)


def _load(spec: str) -> Callable[..., Any]:
    module, _, name = spec.partition(":")
    return cast(Callable[..., Any], getattr(import_module(module), name))
