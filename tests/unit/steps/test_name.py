"""What archives and templates ask of a name beyond the rules that all names follow (tests/unit/test_names.py)."""

from __future__ import annotations

import pytest

from wharfinger.errors import Rejected
from wharfinger.names import key_fault
from wharfinger.steps.name import member_fault, safe_name

FOREIGN_FAULTS = {
    "C:/a": "has a colon",
    "a.txt:stream": "has a colon",
    "a./b": "has a part that ends in a dot or a space",
    "a ": "has a part that ends in a dot or a space",
    "NUL": "is a name that Windows reserves",
    "a/com1.txt": "is a name that Windows reserves",
}


@pytest.mark.parametrize(("name", "why"), FOREIGN_FAULTS.items())
def test_member_of_an_archive_must_be_safe_on_every_system(name: str, why: str) -> None:
    assert member_fault(name) == why
    assert key_fault(name) == ""


def test_name_has_no_folder() -> None:
    with pytest.raises(Rejected, match="has a folder in it"):
        safe_name("a/b")
