"""Globs: what they take, and that no name can make them slow."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharfinger.config import glob

TAKES = [
    ("a.csv", "a.csv"),
    ("*.csv", "a.csv"),
    ("*.csv", ".csv"),
    ("*", "x"),
    ("inbound/*.gz", "inbound/a.gz"),
    ("inbound/**", "inbound/a"),
    ("inbound/**", "inbound/a/b"),
    ("inbound/**/*.csv", "inbound/a.csv"),
    ("inbound/**/*.csv", "inbound/x/a.csv"),
    ("inbound/**/*.csv", "inbound/x/y/a.csv"),
    ("**/a.csv", "a.csv"),
    ("**/a.csv", "x/y/a.csv"),
    ("**", "x/y"),
    ("**.csv", "x/y.csv"),
    ("in**.csv", "inbound/y.csv"),
    ("**/x/**/y", "x/y"),
    ("**/x/**/y", "a/x/b/x/c/y"),
    ("**/**/a", "a"),
    ("a?c", "abc"),
    ("a?c", "aéc"),
    ("[ab].csv", "b.csv"),
    ("[!ab].csv", "c.csv"),
    ("[a-c]1", "b1"),
    ("[]]", "]"),
    ("[!]]", "x"),
    ("[[]1].csv", "[1].csv"),
    ("[*]", "*"),
    ("[a-]", "-"),
    ("[-a]", "-"),
    ("[\\]", "\\"),
    ("[&&~|^]", "^"),
    ("a\nb*", "a\nb\nc"),
    ("caf\u00e9.csv", "cafe\u0301.csv"),
    ("cafe\u0301.csv", "caf\u00e9.csv"),
    ("text/*", "text/csv"),
    ("a+(b).csv", "a+(b).csv"),
    ("*a*b*c", "xaxbxbc"),
    ("*a", "aaa"),
    ("", ""),
]

REFUSES = [
    ("a.csv", "A.csv"),
    ("a.csv", "xa.csv"),
    ("a.csv", "a.csv\n"),
    ("*.csv", "x/a.csv"),
    ("*", "x/y"),
    ("inbound/*.gz", "inbound/x/a.gz"),
    ("inbound/**", "inbound"),
    ("inbound/**", "inbounds/a"),
    ("inbound/**/*.csv", "inboundx.csv"),
    ("inbound/**/a.csv", "inbound/ba.csv"),
    ("**/a.csv", "ba.csv"),
    ("a?c", "a/c"),
    ("a?c", "ac"),
    ("[!a]", "/"),
    ("[+-9]", "/"),
    ("[ab]", "ab"),
    ("x*", "y"),
    ("", "a"),
]


@pytest.mark.parametrize(("pattern", "text"), TAKES)
def test_glob_takes(pattern: str, text: str) -> None:
    assert glob.fits((pattern,), text)


@pytest.mark.parametrize(("pattern", "text"), REFUSES)
def test_glob_refuses(pattern: str, text: str) -> None:
    assert not glob.fits((pattern,), text)


def test_any_of_several_is_enough_and_none_is_not() -> None:
    assert glob.fits(("*.csv", "*.gz"), "a.gz")
    assert not glob.fits((), "a.gz")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("a[b", "at character 2 of 'a[b' is not closed"),
        ("[]", "empty set"),
        ("[!]", "empty set"),
        ("[z-a]", "backwards"),
    ],
)
def test_a_broken_glob_says_why(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match="^.*" + why.replace("[", r"\[")):
        glob.checked(pattern)


def test_a_glob_has_a_longest_length() -> None:
    assert glob.checked("a" * glob.LONGEST)
    with pytest.raises(ValueError, match="at most 1,024"):
        glob.checked("a" * (glob.LONGEST + 1))


def test_plain_globs_are_told_from_others() -> None:
    assert glob.is_plain("acme-1")
    assert not any(map(glob.is_plain, ["a*", "a?", "[a]"]))


@pytest.mark.parametrize(
    "pattern", ["*a" * 500 + "b", "**a" * 300 + "b", "**/*a" * 200 + "b", "*a**a" * 200 + "/b", "?*" * 400]
)
@pytest.mark.parametrize("text", ["a" * 1024, "a/" * 512, "ab" * 500 + "/"])
def test_no_name_makes_a_glob_slow(pattern: str, text: str) -> None:
    matcher = glob.compile((pattern,))
    started = time.process_time()
    matcher.fullmatch(text)
    assert time.process_time() - started < 0.5


def by_definition(pattern: str, text: str, *, start: bool = True) -> bool:
    """The rules, word by word; exponential, and for patterns without sets or more than two stars in a row."""
    if not pattern:
        return not text
    if start and pattern.startswith("**/"):
        rests = [text, *(text[n + 1 :] for n, c in enumerate(text) if c == "/")]
        return any(by_definition(pattern[3:], rest) for rest in rests)
    if pattern.startswith("**"):
        return any(by_definition(pattern[2:], text[n:], start=False) for n in range(len(text) + 1))
    if pattern[0] == "*":
        folder = len(text.split("/", 1)[0])
        return any(by_definition(pattern[1:], text[n:], start=False) for n in range(folder + 1))
    fits = text[:1] == pattern[0] or (pattern[0] == "?" and text[:1] not in ("", "/"))
    return fits and by_definition(pattern[1:], text[1:], start=pattern[0] == "/")


pieces = st.lists(st.sampled_from(["a", "b", "/", "*", "**", "**/", "/**/", "?"]), max_size=9).map("".join)


@given(pieces, st.text("ab/", max_size=9))
def test_a_glob_does_what_its_definition_says(pattern: str, text: str) -> None:
    assert glob.fits((pattern,), text) == by_definition(re.sub(r"\*\*+", "**", pattern), text)


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_a_glob_or_refused(pattern: str, text: str) -> None:
    try:
        glob.checked(pattern)
    except ValueError:
        return
    assert glob.fits((pattern,), text) in (True, False)


@given(st.text(max_size=20))
def test_a_plain_glob_fits_itself(text: str) -> None:
    if glob.is_plain(text):
        assert glob.fits((text,), unicodedata.normalize("NFD", text))
