"""Backends that are held against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

UNORDERED = {"sweep", "cancel_children"}
"""Verbs that promise no order of what they answer."""


class Lockstep:
    """Several implementations of one port as one: each verb is done by all, and all must answer the same."""

    def __init__(self, ports: Sequence[Any]) -> None:
        self._ports = ports

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        def do(*args: Any, **more: Any) -> Any:
            first, *others = [getattr(port, verb)(*args, **more) for port in self._ports]
            for other in others:
                assert other == first if verb not in UNORDERED else sorted(other) == sorted(first)
            return first

        return do
