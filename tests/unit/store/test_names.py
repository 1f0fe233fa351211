from __future__ import annotations

import pytest

from wharfinger.errors import NameRefused
from wharfinger.store.names import parts


@pytest.mark.parametrize(
    "key",
    ["a", "a/b/c.csv", " a ", "#1", "Ünïcødé ☃", "a:b", "CON", "-rf", ".hidden", "...", "~", "x" * 255, "é" * 127],
)
def test_a_name_that_a_posix_directory_can_hold_is_kept(key: str) -> None:
    assert "/".join(parts(key)) == key


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "empty"),
        ("/etc/passwd", "empty"),
        ("a//b", "empty"),
        ("a/", "empty"),
        ("..", "leads out"),
        ("a/../../b", "leads out"),
        (".", "'.'"),
        ("a/./b", "'.'"),
        ("a\\b", "backslash"),
        ("a\0b", "U\\+0000"),
        ("a\nb", "U\\+000A"),
        ("a\x7f", "U\\+007F"),
        ("a\x9b31m", "U\\+009B"),
        ("x" * 256, "256 bytes"),
        ("a/" + "é" * 128 + "/b", "256 bytes"),
        ("caf\udce9", "UTF-8"),
        (".wharf-1", "temporary"),
    ],
)
def test_a_dangerous_name_is_refused_with_the_reason(key: str, reason: str) -> None:
    with pytest.raises(NameRefused, match=reason) as refused:
        parts(key)
    assert refused.value.code == "NAME_UNSAFE"
    assert refused.value.fix


def test_the_message_shows_control_characters_harmlessly() -> None:
    with pytest.raises(NameRefused) as refused:
        parts("a\x1b[2Jb")
    assert "\x1b" not in str(refused.value)
