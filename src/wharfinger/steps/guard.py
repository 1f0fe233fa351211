"""The one guard for every decoder: counts what comes out of a file that somebody else made, and stops it at a limit."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

from wharfinger.config.field import option
from wharfinger.errors import Rejected, Transient
from wharfinger.names import shown

UNWEIGHED = 10 << 20
"""Bytes that may come out before the ratio counts: small files of one letter repeated are no attack."""

_LOOK = 64 << 20  # bytes between two looks at the disk


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may become when it is decoded."""

    output: Annotated[int, option("Most bytes that may come out of it.", unit="bytes", ge=1)] = 10 << 30
    ratio: Annotated[int, option("Most bytes out for one byte in, after the first 10 MiB.", ge=1)] = 200
    entries: Annotated[int, option("Most entries of an archive, folders included.", ge=1)] = 10_000
    entry: Annotated[int, option("Most bytes of one entry.", unit="bytes", ge=1)] = 10 << 30
    name: Annotated[int, option("Longest name of an entry, folders included.", unit="bytes", ge=1)] = 512
    cpu_s: Annotated[float, option("Most processor time.", unit="s", gt=0)] = 300.0
    free: Annotated[int, option("Room on the disk that is left alone.", unit="bytes", ge=0)] = 256 << 20


class Guard:
    """
    Watches one input of `size` bytes being decoded into `folder`. Its verbs raise Rejected with the figures when a limit is
    passed, under `code` where it is the expansion, and Transient (NO_SPACE) when the disk is nearly full.
    """

    def __init__(self, limits: Limits, size: int, folder: Path, *, code: str) -> None:
        self.output = 0  # bytes so far
        self._limits, self._size, self._folder, self._code = limits, size, folder, code
        self._most = min(limits.output, max(UNWEIGHED, limits.ratio * size))
        self._cpu_end = time.thread_time() + limits.cpu_s
        self._next_look = 0

    def admit(self, entries: Iterable[tuple[str, int]]) -> None:
        """Before the first byte of an archive: these are the names and sizes (bytes) that it declares."""
        total = 0
        for n, (name, size) in enumerate(entries, 1):
            total += size
            if n > self._limits.entries:
                self._refuse(f"has more than {self._limits.entries:,} entries", "entries")
            if len(name.encode("utf-8", "surrogatepass")) > self._limits.name:
                self._refuse(f"has a name of more than {self._limits.name:,} bytes: {shown(name)}", "name")
            if size > self._limits.entry:
                self._refuse(f"declares {size:,} bytes for {shown(name)}; the limit is {self._limits.entry:,}", "entry")
        if total > self._most:
            self._too_large(f"declares {total:,} bytes")
        self._look_at_disk(total)

    def grow(self, size: int) -> None:
        """`size` more bytes came out; call it with 0 where none did, since time passes."""
        self.output += size
        if self.output > self._most:
            self._too_large(f"grew to {self.output:,} bytes and was not at its end")
        if self.output >= self._next_look:
            self._next_look = self.output + _LOOK
            self._look_at_disk(_LOOK if self.output else 0)
        if time.thread_time() > self._cpu_end:
            raise Rejected(
                f"decoding took more than {self._limits.cpu_s:g} s of processor time and had made {self.output:,} bytes",
                code="CPU_LIMIT",
                fix="raise limits.cpu_s of the step if such files are to be expected",
            )

    def _look_at_disk(self, needed: int) -> None:
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize
        if free - needed < self._limits.free:
            raise Transient(
                f"the disk has {free:,} bytes free; decoding needs {needed:,} and leaves {self._limits.free:,} alone",
                code="NO_SPACE",
                fix="make room on the disk of the data directory",
            )

    def _too_large(self, what: str) -> NoReturn:
        by = "output" if self._most == self._limits.output else "ratio"
        self._refuse(f"{what}; {self._most:,} are allowed for its {self._size:,}", by)

    def _refuse(self, what: str, limit: str) -> NoReturn:
        fix = f"raise limits.{limit} of the step if such files are to be expected"
        raise Rejected(f"the compressed file {what}", code=self._code, fix=fix)
