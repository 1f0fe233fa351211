"""
YAML as YAML 1.2 means it. PyYAML splits the text into events; what they mean is decided here, since PyYAML reads `NO` as False
and `22:22` as 1342, takes the last of two equal keys, and unfolds a few nested aliases into gigabytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from wharfinger.config import core
from wharfinger.config.mistake import Mistakes
from wharfinger.config.node import Mark, Node, Scalar
from wharfinger.config.words import shown

DEEPEST = 64
"""Most lists and mappings inside one another."""

MOST_ALIASED = 10_000
"""Most values that aliases may repeat, all together."""

_TAG = "tag:yaml.org,2002:"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str, source: str, mistakes: Mistakes) -> Node:
    """The one document in `text`; nothing at all is null. Raises ConfigError where it cannot be read on."""
    composer = _Composer(source, mistakes)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            composer.take(event)
    except yaml.YAMLError as exc:
        mistakes.stop(_place(exc, source, text), _problem(exc))
    return composer.root or Node(None, Mark(source, 1, 1))


@dataclass(frozen=True, slots=True)
class _Built:
    """A node, how many values it stands for and how deep they go."""

    node: Node
    size: int = 1
    height: int = 0


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end is not reached."""

    node: Node
    anchor: str | None
    key: tuple[str, Mark] | None = None
    size: int = 1
    height: int = 1


class _Composer:
    """Makes nodes of events. `root` is the whole document in the end."""

    def __init__(self, source: str, mistakes: Mistakes) -> None:
        self.root: Node | None = None
        self._source = source
        self._mistakes = mistakes
        self._open: list[_Open] = []
        self._anchors: dict[str, _Built | None] = {}  # None: its end is not reached
        self._aliased = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        """The next event."""
        at = _mark(event.start_mark, self._source)
        if isinstance(event, yaml.ScalarEvent) and not core.is_whole(event.value):
            self._mistakes.stop(at, "half a surrogate pair stands here")
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._mistakes.stop(at, "a second document begins here; a configuration is one")
            case yaml.ScalarEvent() if self._wants_key:
                self._open[-1].key = self._key(event, at)
            case yaml.ScalarEvent():
                self._add(self._scalar(event, at), event.anchor)
            case yaml.CollectionEndEvent():
                done = self._open.pop()
                self._add(_Built(done.node, done.size, done.height), done.anchor)
            case yaml.NodeEvent() if self._wants_key:
                self._mistakes.stop(at, "a key is text")
            case yaml.AliasEvent():
                self._add(self._alias(str(event.anchor), at), None)
            case yaml.SequenceStartEvent():
                self._begin(Node([], at), event, "seq")
            case yaml.MappingStartEvent():
                self._begin(Node({}, at), event, "map")

    @property
    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].node.value, dict) and self._open[-1].key is None

    def _key(self, event: Any, at: Mark) -> tuple[str, Mark]:
        """A key is the text that is written, whatever that means as a value: `22` and `NO` are names."""
        key: str = event.value
        if key == "<<" and event.implicit[0]:
            self._mistakes.stop(at, "YAML 1.2 has no merge keys; write the keys out")
        if event.tag not in (None, "!", _TAG + "str"):
            self._mistakes.add(at, f"a key has no tag; leave {shown(event.tag)} out")
        if event.anchor:
            self._anchors[event.anchor] = _Built(Node(key, at))
        first = self._open[-1].node.child(key)
        if first and first.key_at:
            self._mistakes.add(at, f"{shown(key)} stands here for the second time; first in line {first.key_at.line}")
        return key, at

    def _scalar(self, event: Any, at: Mark) -> _Built:
        try:
            return _Built(Node(_meaning(event), at))
        except ValueError as exc:
            self._mistakes.add(at, str(exc))
            return _Built(Node(event.value, at))

    def _alias(self, anchor: str, at: Mark) -> _Built:
        if anchor not in self._anchors:
            self._mistakes.stop(at, f"no anchor '&{anchor}' stands before this alias")
        built = self._anchors[anchor]
        if built is None:
            self._mistakes.stop(at, f"'*{anchor}' stands inside of what it repeats")
        self._aliased += built.size
        if self._aliased > MOST_ALIASED:
            self._mistakes.stop(at, f"aliases repeat more than {MOST_ALIASED:,} values")
        self._bound(built.height, at)
        return built

    def _bound(self, height: int, at: Mark) -> None:
        if len(self._open) + height > DEEPEST:
            self._mistakes.stop(at, f"more than {DEEPEST} lists and mappings inside one another")

    def _begin(self, node: Node, event: Any, kind: str) -> None:
        self._bound(1, node.at)
        if event.tag not in (None, "!", _TAG + kind):
            self._mistakes.add(node.at, f"unknown tag {shown(event.tag)}; leave it out")
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(_Open(node, event.anchor))

    def _add(self, built: _Built, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = built
        if not self._open:
            self.root = built.node
            return
        parent = self._open[-1]
        parent.size += built.size
        parent.height = max(parent.height, built.height + 1)
        if isinstance(parent.node.value, list):
            parent.node.value.append(built.node)
        elif isinstance(parent.node.value, dict) and parent.key:
            key, at = parent.key
            parent.node.value[key] = built.node.under(at)
            parent.key = None


def _meaning(event: Any) -> Scalar:
    text: str = event.value
    if event.tag is None and event.implicit[0]:
        return core.resolve(text)
    if event.tag in (None, "!"):
        return text
    kind = event.tag.removeprefix(_TAG)
    if event.tag == kind or kind not in core.KINDS:
        raise ValueError(f"unknown tag {shown(event.tag)}; leave it out")
    return core.convert(kind, text)


def _mark(mark: Any, source: str) -> Mark:
    return Mark(source, mark.line + 1, mark.column + 1)


def _place(exc: yaml.YAMLError, source: str, text: str) -> Mark:
    if isinstance(exc, yaml.MarkedYAMLError) and (exc.problem_mark or exc.context_mark):
        return _mark(exc.problem_mark or exc.context_mark, source)
    return Mark.of(source, text, getattr(exc, "position", 0))


def _problem(exc: yaml.YAMLError) -> str:
    if isinstance(exc, yaml.MarkedYAMLError):
        problem, context = exc.problem_mark, exc.context_mark
        where = (
            f" that begins in line {context.line + 1}" if problem and context and context.line < problem.line else ""
        )
        return f"this is no YAML: {', '.join(filter(None, (exc.problem, exc.context)))}{where}"
    return f"this is no YAML: {getattr(exc, 'reason', exc)}"
