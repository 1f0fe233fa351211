"""
Globs over paths: `*` stays in a folder, `**` crosses folders, `?` is one character, `[a-z]` and `[!a-z]` are sets.

`**/` at the beginning of a folder may also stand for nothing, so that `inbound/**/*.csv` takes `inbound/a.csv`. A set or `?`
never fits a slash; a character that means something is escaped by a set of its own: `[*]`. Capital letters count. Text is
compared in Unicode's form NFC, since some systems send names decomposed.

The names that are matched were chosen by strangers, so no pattern may take exponential time. A wildcard that is followed by
another takes the first place that fits and never reconsiders (an atomic group): a later place would only leave less for the
next one. What follows a wildcard that crosses folders is one such group, since it may have to begin in a later folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from wharfinger.names import nfc

LONGEST = 1024
"""Most characters of a pattern."""

_TOKEN = re.compile(
    r"""
      (?P<folders> (?: (?<=/) | \A ) \*\*+/ (?: \*\*+/ )* )
    | (?P<deep> \*\*+ )
    | (?P<flat> \* )
    | (?P<one> \? )
    | \[ (?P<set> !? \]? [^\]]* ) \]
    | (?P<open> \[ )
    | (?P<text> [^*?\[]+ )
    """,
    re.VERBOSE,
)
_WILD = {"folders": "(?:.*/)?", "deep": ".*", "flat": "[^/]*"}
_SHORTEST = {"folders": "(?:.*?/)??", "deep": ".*?", "flat": "[^/]*?"}


def fits(patterns: tuple[str, ...], text: str) -> bool:
    """Whether any of the patterns takes the whole of `text`. Raises ValueError where a pattern is none."""
    return compile(patterns).fullmatch(nfc(text)) is not None


@lru_cache(maxsize=1024)
def compile(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One regular expression for all of them; match it fully, against text in NFC. Raises ValueError."""
    return re.compile("|".join(f"(?:{translate(pattern)})" for pattern in patterns) or "(?!)", re.DOTALL)


def checked(pattern: str) -> str:
    """The pattern itself, if it is one. Raises ValueError with the place where it is wrong."""
    translate(pattern)
    return pattern


def is_plain(pattern: str) -> bool:
    """Whether the pattern fits one text alone: itself."""
    return not any(sign in pattern for sign in "*?[")


def translate(pattern: str) -> str:
    """The regular expression that means the same under DOTALL and `fullmatch`. Raises ValueError."""
    if len(pattern) > LONGEST:
        raise ValueError(f"a glob has at most {LONGEST:,} characters, and this one {len(pattern):,}")
    (_, head), *parts = _parts(nfc(pattern))
    return head + "".join(_regex(parts))


def _parts(pattern: str) -> list[tuple[str, str]]:
    """Each wildcard with the regular expression that has to follow it. The first stands for the beginning."""
    parts = [("", "")]
    for token in _TOKEN.finditer(pattern):
        kind = str(token.lastgroup)
        if kind in _WILD:
            parts.append((kind, ""))
        else:
            wild, fixed = parts[-1]
            parts[-1] = (wild, fixed + _fixed(kind, token))
    return parts


def _fixed(kind: str, token: re.Match[str]) -> str:
    if kind == "open":
        raise ValueError(f"'[' at character {token.start() + 1} of '{token.string}' is not closed; '[[]' is a bracket")
    if kind == "set":
        return _set(token["set"])
    return "[^/]" if kind == "one" else re.escape(token[0])


def _set(text: str) -> str:
    members = text.removeprefix("!")
    if not members:
        raise ValueError(f"'[{text}]' is an empty set")
    return f"(?!/)[{'^' if text[0] == '!' else ''}{''.join(_members(members))}]"


def _members(members: str) -> Iterator[str]:
    for first, last, single in re.findall("(.)-(.)|(.)", members, re.DOTALL):
        if first > last:
            raise ValueError(f"'{first}-{last}' in the set '[{members}]' runs backwards")
        yield re.escape(single) or f"{re.escape(first)}-{re.escape(last)}"


def _regex(parts: Sequence[tuple[str, str]]) -> Iterator[str]:
    crossings = sum(kind != "flat" for kind, _ in parts)
    closing = ""
    for n, (kind, fixed) in enumerate(parts, 1):
        if kind != "flat":
            crossings -= 1
            yield closing + ("(?>" if crossings else "")
            closing = ")" if crossings else ""
        if n == len(parts):
            yield _WILD[kind] + fixed
        else:
            yield f"(?>{_SHORTEST[kind]}{fixed})" if kind == "flat" else _SHORTEST[kind] + fixed
