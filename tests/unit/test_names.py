"""The one table of names: every room that makes or takes a name answers as it says."""

from __future__ import annotations

import pytest

from wharfinger.errors import NameRefused, Rejected
from wharfinger.ingest.sftp.tree import Tree
from wharfinger.ledger import User
from wharfinger.names import KEY, PART, key_fault, nfc, path_fault, shown
from wharfinger.steps.name import member_fault, safe_key
from wharfinger.store.names import parts

TREE = Tree(User("ann", customer="acme", home="acme"))

FAULTS = {
    "": "is empty",
    "/etc/passwd": "is absolute",
    "..": "has a part '.' or '..'",
    "a/../b": "has a part '.' or '..'",
    "../../a": "has a part '.' or '..'",
    ".": "has a part '.' or '..'",
    "a/./b": "has a part '.' or '..'",
    "a/.": "has a part '.' or '..'",
    "a//b": "has an empty part",
    "a/": "has an empty part",
    "a\\b": "has a backslash",
    "a\0b": "has the control character U+0000",
    "a\nb": "has the control character U+000A",
    "a\x1b[2Jb": "has the control character U+001B",
    "a\x7f": "has the control character U+007F",
    "a\x85b": "has the control character U+0085",
    "a\x9b31m": "has the control character U+009B",
    "caf\udce9": "is not valid Unicode",
    "x" * 256: f"has a part of 256 bytes; at most {PART} are possible",
    "a/" + "é" * 128 + "/b": f"has a part of 256 bytes; at most {PART} are possible",
    "/".join(["a" * 255] * 5): f"is 1279 bytes long; at most {KEY} are possible",
}

SOUND = [
    "a",
    "a/b/c.csv",
    "a b/#1 100%.csv",
    " a ",
    "a:b",
    "CON",
    "-rf",
    "~a",
    ".hidden",
    "...",
    "..a/b..",
    "%2e%2e",
    "Überweisung ñ.csv",
    "e\u0301",
    "Ünïcødé ☃",
    "日/本",
    "x" * 255,
    "é" * 127,
    "/".join(["a" * 255] * 4),
]

WALKED = {"", "/etc/passwd", ".", "a/./b", "a/.", "a//b", "a/"}
"""What SFTP understands before it asks: empty parts and `.` mean nothing, the home is the root."""


@pytest.mark.parametrize(("key", "why"), FAULTS.items())
def test_a_bad_name_is_refused_with_its_fault(key: str, why: str) -> None:
    assert key_fault(key) == why
    assert member_fault(key) == why
    with pytest.raises(Rejected) as rejected:
        safe_key(key)
    assert str(rejected.value) == f"the name {shown(key)} {why}"
    assert rejected.value.code == "NAME_UNSAFE"
    assert rejected.value.fix


@pytest.mark.parametrize(("key", "why"), [(key, why) for key, why in FAULTS.items() if len(key) <= KEY])
def test_a_directory_refuses_a_bad_name_with_its_fault(key: str, why: str) -> None:
    assert path_fault(key) == why
    with pytest.raises(NameRefused) as refused:
        parts(key)
    assert str(refused.value) == f"the name {shown(key)} {why}"
    assert refused.value.code == "NAME_UNSAFE"
    assert refused.value.fix


@pytest.mark.parametrize(
    ("key", "why"), [(key, why) for key, why in FAULTS.items() if key not in WALKED and len(key) <= KEY]
)
def test_sftp_refuses_a_bad_name_with_its_fault(key: str, why: str) -> None:
    with pytest.raises(NameRefused) as refused:
        TREE.key(key)
    assert str(refused.value) == f"the name {shown('/' + key)} {why}"
    assert refused.value.fix


@pytest.mark.parametrize("key", SOUND)
def test_every_other_name_is_kept_as_it_is(key: str) -> None:
    assert path_fault(key) == ""
    assert safe_key(key) == key
    assert "/".join(parts(key)) == key


@pytest.mark.parametrize("key", [key for key in SOUND if len(key) < KEY - len("acme/")])
def test_sftp_keeps_every_other_name_as_sent(key: str) -> None:
    assert TREE.key(key) == f"acme/{key}"


def test_the_home_counts_in_the_length_of_a_key() -> None:
    with pytest.raises(NameRefused, match=f"is {KEY + 1} bytes long"):
        TREE.key("/".join(["a" * 203] * 5) + "b")


def test_a_directory_bounds_the_parts_of_a_path_not_the_whole() -> None:
    long = "/".join(["a" * 255] * 5)
    assert "/".join(parts(long)) == long


def test_a_message_shows_a_name_escaped_and_cut() -> None:
    assert shown("a\x1b[31m") == "'a\\x1b[31m'"
    assert len(shown("a" * 5000)) == 122


@pytest.mark.parametrize("sent", ["\u00fc.csv", "u\u0308.csv"])
def test_names_are_compared_however_a_system_composes_them(sent: str) -> None:
    assert nfc(sent) == "\u00fc.csv"
