from __future__ import annotations

from pathlib import Path

from wharfinger.steps import BUILTIN
from wharfinger.steps.reference import describe, page
from wharfinger.steps.registry import Registry

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "steps.md"


def test_steps_reference_is_what_the_code_says() -> None:
    registry = Registry()
    made = page(describe(registry[name], registry.origin(name)) for name in BUILTIN)
    assert PAGE.read_text() == made, "run: python -m wharfinger.steps.reference > docs/reference/steps.md"
