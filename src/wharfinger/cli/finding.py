"""What `wharf doctor` has seen of one part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """`fix` is the next command, where one is needed."""

    part: str
    verdict: Literal["ok", "warn", "fail"]
    text: str
    fix: str = ""
