from __future__ import annotations

import errno
import os

import click
import pytest

from wharfinger.cli.problem import Exit, problem
from wharfinger.errors import ConfigError, NameRefused, NotFound, UsageError


@pytest.mark.parametrize(
    ("error", "code", "exit"),
    [
        (ConfigError("wharf.yaml:1:1: data: missing"), "CONFIG_INVALID", Exit.FAILED),
        (UsageError("which?"), "USAGE", Exit.USAGE),
        (UsageError("there already", code="USER_EXISTS"), "USER_EXISTS", Exit.USAGE),
        (UsageError("no user", code="NOT_FOUND"), "NOT_FOUND", Exit.NOT_FOUND),
        (NotFound("inbox/a#1 is not there"), "NOT_FOUND", Exit.NOT_FOUND),
        (NameRefused("has '..'"), "NAME_UNSAFE", Exit.NOT_ALLOWED),
        (PermissionError(errno.EACCES, "x", "/srv/a"), "NOT_ALLOWED", Exit.NOT_ALLOWED),
        (OSError(errno.ENOSPC, "x", "/data"), "NO_SPACE", Exit.FAILED),
        (OSError(errno.EADDRINUSE, "x"), "PORT_BUSY", Exit.FAILED),
        (OSError(errno.EIO, "x"), "SYSTEM", Exit.FAILED),
        (click.UsageError("No such option: --foo."), "USAGE", Exit.USAGE),
        (ZeroDivisionError("division by zero"), "INTERNAL", Exit.FAILED),
    ],
)
def test_every_error_has_a_code_an_exit_and_a_fix(error: Exception, code: str, exit: Exit) -> None:
    told = problem(error)
    assert (told.code, told.exit) == (code, exit)
    assert told.message


def test_the_system_is_quoted_with_the_place() -> None:
    told = problem(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/x"))
    assert told.message == "/data/x: no space left on device"
    assert told.fix


def test_a_fault_of_ours_says_how_to_see_more() -> None:
    assert "WHARF_DEBUG=1" in problem(KeyError("x")).fix
