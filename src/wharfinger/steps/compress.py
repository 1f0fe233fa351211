"""
Compresses a file with gzip, or as the single member of a zip archive; the suffix is added to its name.

The same bytes and options give the same output wherever zlib is the same: no time, no name and no operating system is written
into a gzip header, and a member of a zip archive always dates from the first day of 1980.
"""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from typing import Annotated, Any, Literal

from wharfinger.config.field import option
from wharfinger.steps import Output, Reader, Result, Scratch, Step

PIECE = 1 << 20  # bytes read at once

LARGE = 1 << 30
"""Bytes from which on a zip archive is written in its 64-bit form (APPNOTE 4.3.9.2), which every reader of today knows."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `compress` can be told."""

    format: Annotated[Literal["gzip", "zip"], option("The format of the output.")] = "gzip"
    level: Annotated[int, option("1 is fast, 9 is small.", ge=1, le=9)] = 6


def _run(inputs: Sequence[Reader], options: Options, scratch: Scratch) -> Result:
    return Result.each([_packed(source, options, scratch.path / f"{n}") for n, source in enumerate(inputs)])


def _packed(source: Reader, options: Options, target: Path) -> tuple[Output, Mapping[str, Any]]:
    if options.format == "gzip":
        _gzip(source, target, options.level)
        output = Output(target, source.name + ".gz", "application/gzip")
    else:
        _zip(source, target, options.level)
        output = Output(target, source.name + ".zip", "application/zip")
    return output, {"format": options.format, "bytes": target.stat().st_size}


def _gzip(source: Reader, target: Path, level: int) -> None:
    with open(target, "wb") as file, gzip.GzipFile("", "wb", level, file, mtime=0) as packed:
        copyfileobj(source, packed, PIECE)


def _zip(source: Reader, target: Path, level: int) -> None:
    is_large = source.size > LARGE
    with (
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive,
        archive.open(source.name, "w", force_zip64=is_large) as packed,  # a name alone makes a member of 1980
    ):
        copyfileobj(source, packed, PIECE)


STEP = Step(
    name="compress",
    version="1",
    help="Compresses a file with gzip or zip.",
    options=Options,
    run=_run,
    facts={"format": "gzip or zip", "bytes": "the size of the output"},
)
