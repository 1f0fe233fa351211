"""
Where a configuration keeps things, read without judging the rest: fast, and of use while something else in the file is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from wharfinger.config.document import parse
from wharfinger.config.environment import overlay
from wharfinger.config.mistake import Mistakes
from wharfinger.config.node import Node
from wharfinger.errors import ConfigError

DEFAULTS: Mapping[str, Any] = {
    "data": "wharf-data",
    "store": "local",
    "ledger": "sqlite",
    "bucket": "inbox",
    "min_free": 256 << 20,
}
"""As `settings` declares them; a test holds them equal. Importing the declarations would take longer than all of this."""

KEYS = (
    *DEFAULTS,
    "listeners",
    "workers",
    "log",
    "metrics",
    "customers",
    "sources",
    "order",
    "destinations",
    "retention",
    "pipelines",
)
"""Likewise: all that may stand at the top of the file."""

NAMES = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""Customers, destinations, buckets and pipelines have such names: they are safe in paths, URLs and on command lines."""

CHECKPOINTS = "checkpoints"
"""The bucket of what checkpoints keep; it goes when the run has ended, so that nothing else may lie there."""

TRIES = 3
"""As `settings` declares it: how often a pipeline tries that does not say so."""


class Place(Protocol):
    """What it takes to open ledger and store."""

    @property
    def data(self) -> Path: ...  # noqa: D102
    @property
    def store(self) -> str: ...  # noqa: D102
    @property
    def ledger(self) -> str: ...  # noqa: D102
    @property
    def bucket(self) -> str: ...  # noqa: D102
    @property
    def min_free(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Glance:
    """A Place, and how often each pipeline tries a file."""

    data: Path
    store: str
    ledger: str
    bucket: str
    min_free: int  # bytes
    tries: Mapping[str, int]


def glance(path: Path, environ: Mapping[str, str]) -> Glance | None:
    """What the file and the environment say of it; None where only the whole judgement of `read` can tell what is wrong."""
    mistakes = Mistakes(path)
    try:
        root = overlay(parse(path.read_text(encoding="utf-8-sig"), path.name, mistakes), environ, KEYS, mistakes)
        mistakes.check()
    except (OSError, UnicodeDecodeError, ConfigError):
        return None
    if not isinstance(root.value, dict | None):
        return None
    found = {name: _value(root, default, name) for name, default in DEFAULTS.items()}
    if {name for name, _ in root.items()} - {*KEYS}:  # a slip in the word `data` must not lead to another ledger
        return None
    if any(type(found[name]) is not type(default) for name, default in DEFAULTS.items()):
        return None
    if found["bucket"] == CHECKPOINTS or not re.fullmatch(NAMES, found["bucket"]):
        return None
    pipelines = root.find(("pipelines",))
    tries = {name: _value(each, TRIES, "retry", "tries") for name, each in (pipelines.items() if pipelines else ())}
    if any(type(many) is not int for many in tries.values()):
        return None
    return Glance(**{**found, "data": path.absolute().parent / found["data"]}, tries=tries)


def _value(root: Node, default: Any, *path: str) -> Any:
    node = root.find(path)
    return default if node is None or node.value is None else node.value
