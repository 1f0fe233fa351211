"""Equal values have one text, in every process."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from wharfinger.config import canonical


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    path: Path = Path("/x")


@dataclass(frozen=True)
class Outer:
    b: Inner = Inner()
    a: tuple[int, ...] = (1, 2)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Outer(), '{"a":[1,2],"b":{"path":"/x"}}'),
        ({"é": 1, "a": None}, '{"a":null,"é":1}'),
        (frozenset({"b", "a"}), '["a","b"]'),
        ([1.0, True, "x"], '[1.0,true,"x"]'),
        ({"c": Colour.RED}, '{"c":"red"}'),
    ],
)
def test_value_has_one_text(value: Any, text: str) -> None:
    assert canonical.text(value) == text


def test_sets_have_one_text_in_every_process() -> None:
    code = "from wharfinger.config import canonical; print(canonical.text({str(n) for n in range(99)}))"
    run = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert run[0] == run[1]
