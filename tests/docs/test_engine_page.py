"""The engine's page names functions; each of them is there."""

from __future__ import annotations

import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "engine.md"
PLACES = {"model": "wharfinger.model", "Ledger": "wharfinger.ledger:Ledger", "Store": "wharfinger.store:Store"}
NAMES = sorted(set(re.findall(r"`(\w+(?:\.\w+)+)`", PAGE.read_text())))


@pytest.mark.parametrize("name", NAMES)
def test_what_the_page_names_exists(name: str) -> None:
    root, *path = name.split(".")
    module, _, first = PLACES.get(root, f"wharfinger.engine.{root}").partition(":")
    assert reduce(getattr, [*([first] if first else []), *path], import_module(module))


def test_every_module_of_the_engine_has_its_sentence() -> None:
    for path in (Path(__file__).parents[2] / "src" / "wharfinger" / "engine").glob("*.py"):
        assert re.match(r'"""\S', path.read_text()), path
