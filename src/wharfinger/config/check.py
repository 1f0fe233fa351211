"""Turns values into declared classes by pydantic, and what pydantic finds wrong into words with a place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import GenericAlias
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from wharfinger.config import expected
from wharfinger.config.expected import Schema
from wharfinger.config.mistake import Mistakes
from wharfinger.config.node import Mark, Node, Trail
from wharfinger.config.words import found, nearest, shown
from wharfinger.errors import WharfingerError

T = TypeVar("T")

_RULES = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
_MISSING = ("missing", "missing_argument")
_CAUSED = ("value_error", "assertion_error")


class Check:
    """Reads typed values out of the tree `root`; what is wrong with them goes to `mistakes`."""

    def __init__(self, root: Node, mistakes: Mistakes) -> None:
        self.root = root
        self.mistakes = mistakes

    def take(self, kind: type[T], path: Trail) -> T | None:
        """The value at `path` as an instance of a dataclass, empty where nothing is there; None if it is wrong."""
        node = self.root.find(path)
        if node is None or node.value is None:
            node = Node({}, self.root.nearest(path).at)
        declared: Any = kind
        try:
            return cast(T, adapter(declared).validate_json(json.dumps([node.plain()]))[0])
        except ValidationError as exc:
            for error in _deepest([_Error.of(each, node) for each in exc.errors(include_url=False)]):
                self.mistakes.add(error.at, _words(error, described(declared)), (*path, *error.path))
        except WharfingerError as exc:
            self.say(path, str(exc))
        return None

    def say(self, path: Trail, what: str) -> None:
        """Note a mistake about the value at `path`."""
        self.mistakes.add(self.root.nearest(path).at, what, path)


@cache
def adapter(kind: Any) -> TypeAdapter[tuple[Any]]:
    """Validates a list of one value of this class: pydantic takes no rules for a dataclass alone."""
    one: Any = GenericAlias(tuple, (kind,))
    return TypeAdapter(one, config=_RULES)


@cache
def described(kind: Any) -> Schema:
    """The JSON Schema of `adapter(kind)`."""
    return adapter(kind).json_schema()


@dataclass(frozen=True, slots=True)
class _Error:
    """One of pydantic's errors, at the value that it is about."""

    type: str
    path: Trail
    at: Mark
    value: Any
    message: str

    @classmethod
    def of(cls, details: ErrorDetails, node: Node) -> _Error:
        """pydantic's location has words in it that are no keys: the alternatives of a union, and `[key]`."""
        path: list[str | int] = []
        for part in details["loc"][1:]:
            if below := node.child(part):
                path.append(part)
                node = below
        kind = "key" if details["loc"][-1] == "[key]" else details["type"]
        at = node.at
        if kind in (*_UNKNOWN, "key"):
            at = node.key_at or at
        elif kind in _MISSING:
            path.append(details["loc"][-1])
        cause = details.get("ctx", {}).get("error")
        return cls(kind, tuple(path), at, node.value, str(cause or details["msg"]))


def _deepest(errors: list[_Error]) -> Iterator[_Error]:
    """Of a union every alternative complains; the one that came furthest knows best."""
    paths = {error.path[:n] for error in errors for n in range(len(error.path))}
    return (error for error in errors if error.path not in paths)


def _words(error: _Error, schema: Schema) -> str:
    if error.type in _UNKNOWN:
        around = expected.within(schema, (0, *error.path[:-1]))
        return f"there is no such key{nearest(str(error.path[-1]), expected.keys(around, schema))}"
    if error.type in _CAUSED:
        return error.message
    if error.type == "key":
        return f"{shown(str(error.path[-1]))} is no name; expected {expected.name(schema, error.path)}"
    wanted = expected.phrase(expected.within(schema, (0, *error.path)), schema)
    if error.type in _MISSING:
        return f"is missing; expected {wanted}"
    hint = "; quotes make it text" if wanted.startswith(("text", "a path", "a name")) and _is_plain(error.value) else ""
    return f"expected {wanted or error.message}, found {found(error.value)}{hint}"


def _is_plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float))
