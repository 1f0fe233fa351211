"""What a person is told when something went wrong: a code, what and why, and the next command. Never a traceback."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import click

from wharfinger.errors import UsageError, WharfingerError


class Exit(IntEnum):
    """How a command ends, for the shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    PARTLY = 5
    INTERRUPTED = 130  # 128 + SIGINT
    PIPE_CLOSED = 141  # 128 + SIGPIPE


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong, in words."""

    code: str
    message: str
    fix: str
    exit: Exit


_EXITS: Mapping[str, Exit] = {
    "USAGE": Exit.USAGE,
    "NOT_FOUND": Exit.NOT_FOUND,
    "NOT_ALLOWED": Exit.NOT_ALLOWED,
    "NAME_UNSAFE": Exit.NOT_ALLOWED,
    "NAME_RESERVED": Exit.NOT_ALLOWED,
    "PURGED": Exit.FAILED,
    "PORT_BUSY": Exit.FAILED,
    "CANNOT_LISTEN": Exit.FAILED,
}

_FIXES: Mapping[str, str] = {"NOT_FOUND": "wharf store ls shows what is there"}
"""What to do next where the error itself does not say; for all other codes the doctor looks for the cause."""

_SYSTEM: Mapping[int, tuple[str, str, Exit]] = {
    errno.ENOSPC: ("NO_SPACE", "free some space on that disk, then run the command again", Exit.FAILED),
    errno.EDQUOT: ("NO_SPACE", "free some of the quota, then run the command again", Exit.FAILED),
    errno.EACCES: ("NOT_ALLOWED", "run it as the user who owns the path, or change its permissions", Exit.NOT_ALLOWED),
    errno.EPERM: ("NOT_ALLOWED", "run it as the user who owns the path, or change its permissions", Exit.NOT_ALLOWED),
    errno.EROFS: ("NOT_ALLOWED", "choose a directory that can be written to", Exit.NOT_ALLOWED),
    errno.ENOENT: ("NOT_FOUND", "check the path", Exit.NOT_FOUND),
    errno.EEXIST: ("EXISTS", "name another file, or remove this one first", Exit.USAGE),
    errno.EISDIR: ("USAGE", "name a file instead of a directory", Exit.USAGE),
    errno.ENOTDIR: ("USAGE", "check the path: a part of it is a file", Exit.USAGE),
    errno.EADDRINUSE: ("PORT_BUSY", "stop the other program, or set another port in wharf.yaml", Exit.FAILED),
    errno.EADDRNOTAVAIL: ("ADDRESS_UNKNOWN", "set an address of this machine in wharf.yaml", Exit.FAILED),
}


def problem(error: BaseException) -> Problem:
    """What to say about `error`."""
    if isinstance(error, WharfingerError):
        return Problem(error.code, str(error), error.fix or _FIXES.get(error.code, "wharf doctor"), _exit(error))
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, OSError):
        return _system(error)
    said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".rstrip(": ")
    return Problem(
        "INTERNAL", f"this is a bug of wharf: {said}", "WHARF_DEBUG=1 shows where; please report it", Exit.FAILED
    )


def _exit(error: WharfingerError) -> Exit:
    return _EXITS.get(error.code, Exit.USAGE if isinstance(error, UsageError) else Exit.FAILED)


def _usage(error: click.ClickException) -> Problem:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "wharf"
    return Problem("USAGE", error.format_message().rstrip("."), f"{path} --help", Exit.USAGE)


def _system(error: OSError) -> Problem:
    known = _SYSTEM.get(error.errno or 0)
    code, fix, exit = known or ("SYSTEM", "mend what the system says, then run the command again", Exit.FAILED)
    said = os.strerror(error.errno) if error.errno else str(error)
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    return Problem(code, where + (said[:1].lower() + said[1:]), fix, exit)
