"""
The configuration: one file of YAML or JSON becomes frozen settings, or a ConfigError that names line, column and key.

Each name below is imported when it is first used: a command that only looks (see `place`) never waits for the validation.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wharfinger.config.editor import schema
    from wharfinger.config.field import option
    from wharfinger.config.loading import load, read
    from wharfinger.config.page import reference

__all__ = ["load", "option", "read", "reference", "schema"]

_HOMES = {"load": "loading", "option": "field", "read": "loading", "reference": "page", "schema": "editor"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
