"""
States digests of the file as facts, and checks one that the sender has put into the name.

With `expect` the text that its template makes must contain one of the digests as a word of its own (`report-<sha256>.csv`
with `expect: "{stem}"`), in small or capital letters; otherwise the file is rejected. The SHA-256 of a file that is still as
it arrived is known from its arrival: its bytes are not read again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from isal import isal_zlib

from wharfinger.config.field import option
from wharfinger.errors import Rejected
from wharfinger.names import shown
from wharfinger.steps import Output, Reader, Result, Scratch, Step
from wharfinger.steps.template import Template

PIECE = 1 << 20  # bytes read at once

Algorithm = Literal["sha256", "sha512", "sha1", "md5", "crc32"]


@dataclass(frozen=True, slots=True)
class Options:
    """What `checksum` can be told."""

    algorithms: Annotated[
        tuple[Algorithm, ...], option("The digests to state.", example=["sha256", "md5"], min_length=1)
    ] = ("sha256",)
    expect: Annotated[
        Template | None, option("Template of a text that must contain one of the digests.", example="{stem}")
    ] = None


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Crc32:
    """CRC-32 of ISO 3309, as gzip and zip have it (RFC 1952, section 8)."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = isal_zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


_DIGESTS: Mapping[str, Callable[[], _Digest]] = {
    "sha256": hashlib.sha256,
    "sha512": hashlib.sha512,
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "crc32": _Crc32,
}


def _run(inputs: Sequence[Reader], options: Options, _scratch: Scratch) -> Result:
    return Result.each([(Output.unchanged(source), _checked(source, options)) for source in inputs])


def _checked(source: Reader, options: Options) -> Mapping[str, str]:
    facts = _digests(source, options.algorithms)
    if options.expect is not None:
        _compare(source, options.expect.render(source), facts)
    return facts


def _digests(source: Reader, algorithms: Sequence[str]) -> Mapping[str, str]:
    known = {"sha256": source.sha256} if source.sha256 else {}
    running = {name: _DIGESTS[name]() for name in algorithms if name not in known}
    while running and (piece := source.read(PIECE)):
        for digest in running.values():
            digest.update(piece)
    return {name: known[name] if name in known else running[name].hexdigest() for name in algorithms}


def _compare(source: Reader, expected: str, facts: Mapping[str, str]) -> None:
    words = re.findall(r"(?<![0-9a-z])[0-9a-f]+(?![0-9a-z])", expected.lower())
    if set(words).isdisjoint(facts.values()):
        stated = ", ".join(f"{name} {digest}" for name, digest in facts.items())
        raise Rejected(
            f"{shown(source.name)} has {stated}; {shown(expected)} does not say so",
            code="INTEGRITY_MISMATCH",
            fix="ask the sender for the file again",
        )


STEP = Step(
    name="checksum",
    version="1",
    help="States digests of the file as facts, and checks one that the sender has put into the name.",
    options=Options,
    run=_run,
    facts=dict.fromkeys(_DIGESTS, "the digest of this name, in hex"),
    rejects={"INTEGRITY_MISMATCH": "none of the digests is in the text that `expect` makes"},
)
