from __future__ import annotations

from pathlib import Path

from wharfinger.cli.problem import Exit
from wharfinger.cli.reference import EXITS, page

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def test_the_page_in_the_docs_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m wharfinger.cli.reference > docs/reference/cli.md"


def test_every_exit_code_is_explained() -> None:
    assert set(EXITS) == set(Exit)
