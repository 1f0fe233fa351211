from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rig.databases import DATABASES, an_arrival
from wharfinger.ledger import Filter
from wharfinger.ledger.postgres.catalog import pattern

KEYS = ["a/b.csv", "a/c.csv", "A/b.csv", "a.b", "a^b", "a]b", "a\\b", "a\nb", "é/ü", "a+b", "a b", "a-b", "[x]", "$(x)"]

GLOBS = [
    "*.csv",
    "a/?.csv",
    "a[/.]b*",
    "a[^/]b",
    "a[]]b",
    "a[^]]b",
    "a\\b",
    "?/?",
    "[[]x]",
    "$(x)",
    "a[+-]b",
    "a.b",
    "*",
]


@pytest.mark.parametrize("glob", GLOBS)
def test_a_glob_matches_the_same_as_on_sqlite(tmp_path: Path, glob: str) -> None:
    found = []
    for name in ("sqlite", "postgres"):
        database = DATABASES[name](tmp_path)
        database.ledger.arrive([an_arrival(key, version=f"V{n}") for n, key in enumerate(KEYS)])
        found.append({record.key for record in database.catalog.files(Filter(name=glob))})
        database.close()
    assert found[0] == found[1]


@given(st.text(max_size=20))
def test_every_text_gives_a_pattern(glob: str) -> None:
    assert bool(pattern(glob)) == bool(glob)
