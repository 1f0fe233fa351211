"""A registry of steps with options of every kind, and a way to load a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from wharfinger import config
from wharfinger.config.field import option
from wharfinger.config.settings import Settings
from wharfinger.errors import ConfigError
from wharfinger.steps import Result, Step


@dataclass(frozen=True, slots=True)
class Nothing:
    pass


@dataclass(frozen=True, slots=True)
class Limits:
    ratio: Annotated[int, option("Most.", ge=1)] = 200


@dataclass(frozen=True, slots=True)
class Everything:
    to: Annotated[str, option("Where to.", example="lake")]
    level: Annotated[int, option("How hard.", ge=1, le=9)] = 6
    mode: Annotated[Literal["fast", "small"], option("How.")] = "fast"
    speed: Annotated[float, option("Most.", unit="MB/s", gt=0)] = 1.5
    only: Annotated[frozenset[str], option("Which.")] = frozenset({"b", "a", "c"})
    folder: Annotated[Path, option("Where.")] = Path("scratch")
    limits: Annotated[Limits, option("Limits.")] = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.mode == "small" and self.level < 5:
            raise ValueError("mode 'small' needs a level of 5 or more")


@dataclass(frozen=True, slots=True)
class Either:
    to: Annotated[str | Annotated[tuple[str, ...], Field(min_length=1)], option("One or more.", example="lake")] = (
        "lake"
    )


def _step(name: str, options: type[Any], **more: Any) -> Step:
    return Step(name=name, version="1", help=f"Does {name}.", options=options, run=lambda *_: Result(()), **more)


STEPS: Mapping[str, Step] = {
    "unzip": _step("unzip", Nothing, facts={"bytes": "how many"}),
    "note": _step("note", Nothing),
    "costly": _step("costly", Nothing, checkpoint=True),
    "fan": _step("fan", Either),
    "send": _step("send", Everything, destinations=lambda options: (options.to,)),
}


@pytest.fixture
def steps() -> Mapping[str, Step]:
    return STEPS


Load = Callable[..., Settings]


@pytest.fixture
def load() -> Load:
    """Loads a text as if it stood in /etc/wharf/wharf.yaml."""

    def loaded(text: str, **environ: str) -> Settings:
        return config.load(text, STEPS, path=Path("/etc/wharf/wharf.yaml"), environ=environ)

    return loaded


@pytest.fixture
def mistakes(load: Load) -> Callable[..., list[str]]:
    """The lines that a text is answered with."""

    def told(text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, **environ)
        return str(caught.value).split("\n")

    return told
