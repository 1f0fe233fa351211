from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated

from wharfinger.config.field import option
from wharfinger.steps import BUILTIN, Result, Step
from wharfinger.steps.reference import OptionInfo, describe, page
from wharfinger.steps.registry import Registry


@dataclass(frozen=True, slots=True)
class Inner:
    """Options inside an option."""

    depth: Annotated[int, option("How deep.", ge=1, le=9)] = 3


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a step under test."""

    name: Annotated[str, option("Which | one.", example="a")]
    wait_s: Annotated[float, option("How long.", unit="s", gt=0)] = 1.5
    inner: Annotated[Inner, option("More.")] = Inner()


STEP = Step("tested", "2", "Does something.", Options, lambda *_: Result([]), seconds=60, rejects={"ODD": "it is odd"})


def test_options_are_told_with_all_that_was_declared() -> None:
    assert describe(STEP).options == (
        OptionInfo("name", "string", True, None, "", "a", "Which | one."),
        OptionInfo("wait_s", "number, more than 0", False, 1.5, "s", None, "How long."),
        OptionInfo("inner.depth", "integer, at least 1, at most 9", False, 3, "", None, "How deep."),
    )


def test_description_is_json() -> None:
    registry = Registry()
    for name in BUILTIN:
        assert json.loads(json.dumps(asdict(describe(registry[name], "here"))))["origin"] == "here"


def test_page_has_a_section_with_tables() -> None:
    made = page([describe(STEP)])
    assert "\n## tested\n" in made
    assert "| `name` | string | required | Which \\| one. Example: `a`. |" in made
    assert "| `wait_s` | number, more than 0 | `1.5` s | How long. |" in made
    assert "| `ODD` | it is odd |" in made
    assert "Version 2; may take 60 s." in made
