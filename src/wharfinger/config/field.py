"""What declarations are made of: `option` says what a field means, and these types what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from wharfinger.config import condition, glob
from wharfinger.config.place import NAMES

Name = Annotated[str, Field(pattern=NAMES)]
Glob = Annotated[str, AfterValidator(glob.checked)]
When = Annotated[str, AfterValidator(condition.checked)]


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else (value,)


Names = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]
Globs = Annotated[tuple[Glob, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]
Texts = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]


def in_order(value: Any) -> Any:
    """A list as the tuple that it becomes."""
    return tuple(value) if isinstance(value, list) else value


def option(help: str, *, unit: str = "", example: Any = None, **bounds: Any) -> Any:
    """What a setting or a step's option means; `bounds` are pydantic's (ge, le, min_length, pattern, ...)."""
    extra: dict[str, Any] = {"unit": unit} if unit else {}
    return Field(description=help, examples=None if example is None else [example], json_schema_extra=extra, **bounds)
