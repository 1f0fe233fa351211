"""Which files are worked on one after another: the group of a file follows from its customer and its key alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from posixpath import splitext
from typing import Protocol

from wharfinger.config import glob
from wharfinger.config.template import parts
from wharfinger.config.words import nearest
from wharfinger.model import Group
from wharfinger.names import nfc


class Rule(Protocol):
    """What `settings.Order` declares."""

    @property
    def customer(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def key(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def by(self) -> str: ...  # noqa: D102
    @property
    def after_failure(self) -> str: ...  # noqa: D102


Grouping = Callable[[str, str], Group | None]
"""The group of a file, by customer and key ("acme/inbound/a.csv")."""

WORDS: Mapping[str, Callable[[str], str]] = {
    "folder": lambda path: path.rpartition("/")[0],
    "key": lambda path: path,
    "name": lambda path: path.rpartition("/")[2],
    "stem": lambda path: splitext(path.rpartition("/")[2])[0],
    "suffix": lambda path: splitext(path)[1],
}
"""The words of `by`, of the path below the customer's home: "inbound/a.csv"."""


def checked(by: str) -> str:
    """The template itself, if it is one. Raises ValueError with the mistake and the nearest valid word."""
    _parts(by)
    return by


def unordered(customer: str, key: str) -> None:
    """No file is in a group."""


def grouping(rules: Sequence[Rule]) -> Grouping:
    """What these rules say: the first that fits. A group has the customer's name in front, so that no two share one."""
    if not rules:
        return unordered

    def group(customer: str, key: str) -> Group | None:
        owner, path = nfc(customer), nfc(key.partition("/")[2])
        for rule in rules:
            if _fits(rule.customer, owner) and _fits(rule.key, path):
                return Group(f"{customer}/{_rendered(rule.by, path)}", holds=rule.after_failure == "hold")
        return None

    return group


def _fits(globs: tuple[str, ...], text: str) -> bool:
    return not globs or glob.compile(globs).fullmatch(text) is not None


def _rendered(by: str, path: str) -> str:
    return "".join([part if isinstance(part, str) else part(path) for part in _parts(by)])


@lru_cache(maxsize=256)
def _parts(by: str) -> tuple[str | Callable[[str], str], ...]:
    return tuple(parts(by, _word))


def _word(name: str, style: str | None) -> Callable[[str], str]:
    if name not in WORDS:
        raise ValueError(f"no variable '{name}' here{nearest(name, WORDS)}")
    if style is not None:
        raise ValueError(f"'{{{name}:{style}}}': there are no formats here; write '{{{name}}}'")
    return WORDS[name]
