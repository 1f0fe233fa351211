"""What the last look at each source, and at each destination, found: kept in the data directory for whoever wants to know."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import orjson

T = TypeVar("T")

SHOWN = 20
"""So many of what a look complains of are kept one by one."""


def keep(directory: Path, name: str, told: Mapping[str, Any]) -> None:
    """Replace what is kept under this name. A lost one is written anew by the next look."""
    partial = directory / f"~{name}.{os.getpid()}"
    with suppress(OSError):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.write_bytes(orjson.dumps(told))
        partial.replace(directory / f"{name}.json")


def kept(directory: Path, read: Callable[[Mapping[str, Any]], T]) -> list[T]:
    """All that is kept there, by name, as `read` understands it."""
    found = []
    for path in sorted(directory.glob("*.json")):
        with suppress(OSError, ValueError, TypeError, KeyError):  # it is being replaced, or of another version
            found.append(read(orjson.loads(path.read_bytes())))
    return found


def forget_all_but(directory: Path, names: Collection[str]) -> None:
    """Forget what the configuration has no more."""
    for path in directory.glob("*.json"):
        if path.stem not in names:
            path.unlink(missing_ok=True)
