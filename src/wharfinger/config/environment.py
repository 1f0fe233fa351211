"""
The environment overrides the file: `WHARF_LISTENERS__SFTP__PORT=0` stands for `listeners.sftp.port`.

Two underscores lead one level down. The value is a plain scalar of YAML (`2222`, `true`, `null`, text); quotes make text of
anything. An empty variable counts as none. Lists are not reached. A variable with one word only that is no setting belongs to
somebody else, unless it looks like a slip of the pen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches

from wharfinger.config import core
from wharfinger.config.mistake import Mistakes
from wharfinger.config.node import Mark, Node, Scalar

PREFIX = "WHARF_"


def overlay(root: Node, environ: Mapping[str, str], settings: Collection[str], mistakes: Mistakes) -> Node:
    """The tree with what the environment says; `settings` are the words that may stand first."""
    for name in sorted(environ):
        path = name.removeprefix(PREFIX).lower().split("__")
        if not name.startswith(PREFIX) or not environ[name]:
            continue
        if path[0] in settings or len(path) > 1:
            root = _set(root, path, name, environ[name], mistakes)
        elif near := get_close_matches(path[0], settings, n=1, cutoff=0.8):
            mistakes.add(Mark(name), f"no setting has this name; did you mean '{PREFIX}{near[0].upper()}'?")
    return root


def _set(root: Node, path: list[str], name: str, text: str, mistakes: Mistakes) -> Node:
    try:
        value = _value(text)
    except ValueError as exc:
        mistakes.add(Mark(name), str(exc))
        return root
    return _with(root, path, Node(value, Mark(name), Mark(name)), mistakes)


def _with(node: Node, path: list[str], value: Node, mistakes: Mistakes) -> Node:
    """`node` with `value` at the end of `path`; mappings on the way are made where there are none."""
    if not path:
        return value
    if node.value is not None and not isinstance(node.value, dict):
        mistakes.add(value.at, "no mapping is there to set this in; edit the file instead")
        return node
    entries = dict(node.items())
    key = next((key for key in entries if _folded(key) == path[0]), path[0])
    below = entries.get(key, Node(None, value.at, value.at))
    entries[key] = _with(below, path[1:], value, mistakes)
    return Node(entries, node.at, node.key_at)


def _folded(key: str) -> str:
    """A key as a variable spells it: `acme-eu` is ACME_EU."""
    return re.sub(r"[^a-z0-9]", "_", key.lower())


def _value(text: str) -> Scalar:
    if not core.is_whole(text):
        raise ValueError("this is no UTF-8")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return core.resolve(text)
