"""One text for equal values: JSON with sorted keys and nothing left out, so that its hash is an identity."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic_core import to_jsonable_python


def text(value: Any) -> str:
    """The canonical JSON of a value made of dataclasses, mappings, sequences, sets and scalars."""
    return _dumped(_plain(value))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Set):
        return sorted((_plain(each) for each in value), key=_dumped)
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return to_jsonable_python(value)


def _dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
