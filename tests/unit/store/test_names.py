"""What a directory asks of a name beyond the rules that all names follow (tests/unit/test_names.py)."""

from __future__ import annotations

import pytest

from wharfinger.errors import NameRefused
from wharfinger.store.names import parts


def test_the_parts_are_the_folders_and_the_name() -> None:
    assert parts("a/b/c.csv") == ("a", "b", "c.csv")


@pytest.mark.parametrize("key", [".wharf-1", "a/.wharf-1", ".wharf-/a"])
def test_a_name_like_those_of_our_temporary_files_is_refused(key: str) -> None:
    with pytest.raises(NameRefused, match=r"begins with '\.wharf-'"):
        parts(key)
