from __future__ import annotations

import pytest

from wharfinger.errors import Rejected
from wharfinger.steps.name import KEY, PART, fault, member_fault, safe_key, safe_name, shown

FAULTS = {
    "": "is empty",
    "/etc/passwd": "is absolute",
    "a/../b": "has a part '.' or '..'",
    "..": "has a part '.' or '..'",
    "a/.": "has a part '.' or '..'",
    "a//b": "has an empty part",
    "a/": "has an empty part",
    "a\\b": "has a backslash",
    "a\0b": "has control characters",
    "a\nb": "has control characters",
    "a\x9bb": "has control characters",
    "a\udcffb": "is not valid Unicode",
    "é" * 128: f"has a part of 256 bytes; at most {PART} are possible",
    "/".join(["a" * 255] * 5): f"is 1279 bytes long; at most {KEY} are possible",
}

FOREIGN_FAULTS = {
    "C:/a": "has a colon",
    "a.txt:stream": "has a colon",
    "a./b": "has a part that ends in a dot or a space",
    "a ": "has a part that ends in a dot or a space",
    "NUL": "is a name that Windows reserves",
    "a/com1.txt": "is a name that Windows reserves",
}


@pytest.mark.parametrize(("key", "why"), FAULTS.items())
def test_unsafe_key_is_refused_with_its_fault(key: str, why: str) -> None:
    assert fault(key) == why
    assert member_fault(key) == why
    with pytest.raises(Rejected, match=r"^the name ") as caught:
        safe_key(key)
    assert caught.value.code == "NAME_UNSAFE"
    assert caught.value.fix


@pytest.mark.parametrize(
    "key", ["a", "a b/#1 100%.csv", "Überweisung ñ.csv", "...", "..a/b..", "a" * 255, "é" * 127, "日/本"]
)
def test_ordinary_key_is_safe(key: str) -> None:
    assert safe_key(key) == key


@pytest.mark.parametrize(("name", "why"), FOREIGN_FAULTS.items())
def test_member_of_an_archive_must_be_safe_on_every_system(name: str, why: str) -> None:
    assert member_fault(name) == why
    assert fault(name) == ""


def test_name_has_no_folder() -> None:
    with pytest.raises(Rejected, match="has a folder in it"):
        safe_name("a/b")


def test_message_shows_a_name_escaped_and_cut() -> None:
    assert shown("a\x1b[31m") == "'a\\x1b[31m'"
    assert len(shown("a" * 5000)) == 122
