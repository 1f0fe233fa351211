"""Plain scalars by YAML's core schema (YAML 1.2.2, section 10.3.2): `NO` is text, `22:22` is text, `0o17` is 15."""

from __future__ import annotations

import re
from collections.abc import Callable

from wharfinger.config.node import Scalar
from wharfinger.config.words import shown

LONGEST = 64
"""Most characters of a number."""

KINDS = ("null", "bool", "int", "float", "str")
"""The tags of scalars, `!!int` and so on."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_RULES: tuple[tuple[str, re.Pattern[str], Callable[[str], Scalar]], ...] = (
    ("null", re.compile(r"null|Null|NULL|~|"), lambda _: None),
    ("bool", re.compile(r"true|True|TRUE"), lambda _: True),
    ("bool", re.compile(r"false|False|FALSE"), lambda _: False),
    ("int", re.compile(r"[-+]?[0-9]+"), int),
    ("int", re.compile(r"0o[0-7]+"), lambda digits: int(digits[2:], 8)),
    ("int", re.compile(r"0x[0-9a-fA-F]+"), lambda digits: int(digits[2:], 16)),
    ("float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    ("float", re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda name: float(name.replace(".", ""))),
    ("float", re.compile(r"\.(nan|NaN|NAN)"), lambda _: float("nan")),
)


def resolve(written: str) -> Scalar:
    """What a plain scalar means. Raises ValueError for a number that is too long."""
    for _, pattern, value in _RULES:
        if pattern.fullmatch(written):
            return value(_bounded(written))
    return written


def convert(kind: str, written: str) -> Scalar:
    """What a scalar means under one of KINDS. Raises ValueError where it is nothing of the kind."""
    if kind == "str":
        return written
    for name, pattern, value in _RULES:
        if name == kind and pattern.fullmatch(written):
            return value(_bounded(written))
    raise ValueError(f"{shown(written)} is no {kind}")


def is_whole(written: str) -> bool:
    """Whether no surrogate stands in the text, which no file could hold."""
    return written.isascii() or not _SURROGATE.search(written)


def _bounded(number: str) -> str:
    if len(number) > LONGEST:
        raise ValueError(f"a number has at most {LONGEST} characters")
    return number
