"""
Takes the compression off a file: gzip, or zip with a single file in it. The bytes decide, not the name.

* The name: of a gzip file it is the present one without `.gz` (`.tgz` becomes `.tar`); the name inside the gzip header is not
  used, since it is seldom right. Of a zip archive it is the member's own name, without its folders.
* Several gzip members one after the other are one file; zeros after them are padding; anything else there is an error.
* What macOS adds to an archive (`__MACOSX/`) and folders do not count as files.
* Documents that use zip as a container (office documents, e-books, Java archives) are not compressed files.
* A name that ends in `.gz` or `.zip` is always an error when the bytes are neither, or when there are none.
* All or nothing: what breaks a limit or fails a checksum leaves no output.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from wharfinger.config.field import option
from wharfinger.errors import Rejected
from wharfinger.names import shown
from wharfinger.steps import Output, Reader, Result, Scratch, Step
from wharfinger.steps.guard import Guard, Limits
from wharfinger.steps.inflate import AGAIN, GZIP, gunzip
from wharfinger.steps.sniff import HEAD, media_type
from wharfinger.steps.unzip import ZIP, contents, is_document, only_member, open_zip

SUFFIXES: Mapping[str, str] = {".gz": "", ".gzip": "", ".tgz": ".tar", ".zip": ""}
"""What a name ends in that claims compression by this step, and what it ends in afterwards."""

LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Options:
    """What `decompress` can be told."""

    unless_compressed: Annotated[
        Literal["pass", "reject"],
        option("What becomes of a file that is neither gzip nor zip: it is handed on as it is, or rejected."),
    ] = "pass"
    limits: Annotated[Limits, option("What a file may become.")] = LIMITS


def _run(inputs: Sequence[Reader], options: Options, scratch: Scratch) -> Result:
    return Result.each([_opened(source, options, scratch, n) for n, source in enumerate(inputs)])


Made = tuple[Output, Mapping[str, Any]]


def _opened(source: Reader, options: Options, scratch: Scratch, n: int) -> Made:
    head = source.read(4)
    source.seek(0)
    if head.startswith(GZIP):
        return _gzip(source, options.limits, scratch.path / f"{n}")
    if head.startswith(ZIP):
        return _zip(source, options, scratch.path / f"{n}")
    return _neither(source, options)


def _gzip(source: Reader, limits: Limits, target: Path) -> Made:
    guard = Guard(limits, source.size, target.parent, code="DECOMPRESS_LIMIT")
    made = _write(gunzip(source, guard), target, without_suffix(source.name))
    return made, {"format": "gzip", "bytes": guard.output}


def _zip(source: Reader, options: Options, target: Path) -> Made:
    archive = open_zip(source)
    if is_document(archive):
        return _neither(source, options)
    guard = Guard(options.limits, source.size, target.parent, code="ARCHIVE_EXPANSION_LIMIT")
    member = only_member(archive, source, guard)
    made = _write(contents(member, source, guard), target, member.filename.rpartition("/")[2])
    return made, {"format": "zip", "bytes": guard.output}


def _neither(source: Reader, options: Options) -> Made:
    if _claim(source.name):
        what = "is empty" if not source.size else "is neither gzip nor zip"
        code = "TYPE_MISMATCH" if source.size else "EMPTY_FILE"
        raise Rejected(
            f"{shown(source.name)} {what}, although its name says that it is compressed", code=code, fix=AGAIN
        )
    if options.unless_compressed == "reject":
        raise Rejected(
            f"{shown(source.name)} is neither gzip nor zip",
            code="TYPE_MISMATCH",
            fix="send it compressed, or set unless_compressed: pass",
        )
    return Output.unchanged(source), {"format": "none", "bytes": source.size}


def without_suffix(name: str) -> str:
    """`name` as it is without compression."""
    claim = _claim(name)
    return name[: -len(claim)] + SUFFIXES[claim.lower()] if claim else name


def _claim(name: str) -> str:
    return next((name[-len(s) :] for s in SUFFIXES if name.lower().endswith(s) and len(name) > len(s)), "")


def _write(pieces: Iterable[bytes], target: Path, name: str) -> Output:
    head = b""
    with open(target, "wb") as file:
        for piece in pieces:
            if len(head) < HEAD:
                head = (head + piece)[:HEAD]
            file.write(piece)
        size = file.tell()
    return Output(target, name, media_type(head, size))


STEP = Step(
    name="decompress",
    version="1",
    help="Takes gzip or zip compression off a file.",
    options=Options,
    run=_run,
    facts={"format": "gzip, zip, or none", "bytes": "the size of the output"},
    rejects={
        "ARCHIVE_DUPLICATE_ENTRY": "an archive has one name twice, capital letters aside",
        "ARCHIVE_EMPTY": "an archive has no file in it",
        "ARCHIVE_EXPANSION_LIMIT": "a zip archive passes one of the `limits`",
        "ARCHIVE_INCONSISTENT": "an archive contradicts itself, or something else follows the gzip data",
        "ARCHIVE_METHOD_UNSUPPORTED": "a zip archive uses a rare method of compression",
        "ARCHIVE_MULTIPLE_MEMBERS": "a zip archive has several files in it",
        "ARCHIVE_OVERLAPPING_ENTRIES": "entries of an archive share bytes: it is an attack",
        "ARCHIVE_TRUNCATED": "the end is missing",
        "ARCHIVE_UNSAFE_MEMBER": "an archive has a link or a device in it",
        "ARCHIVE_UNSAFE_PATH": "a name in an archive leads out of it, or is unfit for some system",
        "CPU_LIMIT": "decoding takes longer than `limits.cpu_s`",
        "DECOMPRESS_LIMIT": "a gzip file passes one of the `limits`",
        "EMPTY_FILE": "the name says that it is compressed, and there is not one byte",
        "INTEGRITY_MISMATCH": "the compressed data is damaged, or its checksum is wrong",
        "PASSWORD_REQUIRED": "a zip archive is encrypted",
        "TYPE_MISMATCH": "it is neither gzip nor zip, although its name says so or `unless_compressed` is `reject`",
    },
)
