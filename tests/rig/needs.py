"""What a run of the tests must not do without: a machine that lacks it makes tests red instead of leaving them out."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

NEEDS = "WHARF_NEEDS"
"""The variable that names it, with commas between."""


def is_needed(what: str) -> bool:
    """Whether the tests must not be green without this."""
    return what in os.environ.get(NEEDS, "").split(",")


def missing(what: str, why: str) -> NoReturn:
    """Skip the test, or fail it where this is needed."""
    if is_needed(what):
        pytest.fail(f"{why}, and {NEEDS} names {what}")
    pytest.skip(why)
