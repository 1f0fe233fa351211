"""Plain scalars mean what YAML 1.2 says, and nothing that YAML 1.1 said."""

from __future__ import annotations

import math
from typing import Any

import pytest

from wharfinger.config import core

MEANS: list[tuple[str, Any]] = [
    *((text, None) for text in ("", "~", "null", "Null", "NULL")),
    *((text, True) for text in ("true", "True", "TRUE")),
    *((text, False) for text in ("false", "False", "FALSE")),
    *((text, text) for text in ("NO", "no", "yes", "on", "Off", "y", "tRUE", "nULL", "truee")),
    *(
        (text, text)
        for text in ("22:22", "1:30:00", "1_000", "0b11", "2020-01-01", "=", "<<", "1,000", "0x", "0o", "0o8")
    ),
    ("0", 0),
    ("-0", 0),
    ("+12", 12),
    ("012", 12),
    ("0o17", 15),
    ("0x1F", 31),
    ("-0x1F", "-0x1F"),
    ("1.", 1.0),
    (".5", 0.5),
    ("-.5", -0.5),
    ("1e3", 1000.0),
    ("1.5E-1", 0.15),
    (".", "."),
    ("1e", "1e"),
    ("e3", "e3"),
    (".inf", math.inf),
    ("-.INF", -math.inf),
    ("+.Inf", math.inf),
    ("inf", "inf"),
    ("nan", "nan"),
    ("٣", "٣"),
    (" 1", " 1"),
    ("${HOME}", "${HOME}"),
]


@pytest.mark.parametrize(("text", "value"), MEANS)
def test_plain_scalar_means(text: str, value: Any) -> None:
    found = core.resolve(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_nan_is_a_number(text: str) -> None:
    found = core.resolve(text)
    assert isinstance(found, float)
    assert math.isnan(found)


def test_numbers_have_a_longest_length() -> None:
    assert core.resolve("9" * core.LONGEST) == int("9" * core.LONGEST)
    for long in ("9" * 65, "0x" + "f" * 63, "1." + "0" * 63):
        with pytest.raises(ValueError, match="at most 64"):
            core.resolve(long)


@pytest.mark.parametrize(
    ("kind", "text", "value"), [("str", "1", "1"), ("int", "3", 3), ("float", "1.5", 1.5), ("null", "", None)]
)
def test_a_tag_says_what_a_scalar_is(kind: str, text: str, value: Any) -> None:
    assert core.convert(kind, text) == value


@pytest.mark.parametrize(("kind", "text"), [("int", "x"), ("int", "1.5"), ("bool", "yes"), ("null", "0")])
def test_a_tag_that_does_not_fit_is_refused(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is no {kind}"):
        core.convert(kind, text)
