"""The JSON Schema (draft 2020-12) by which an editor completes and checks a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wharfinger.config.check import adapter, described
from wharfinger.config.entry import KINDS
from wharfinger.config.known import StepKind
from wharfinger.config.settings import Document

_NOTES = ("description", "default", "examples", "unit")


def schema(registry: Mapping[str, StepKind]) -> dict[str, Any]:
    """The schema of a whole configuration; the options of each step are bound to its `uses`."""
    found = _tidy(described(Document))
    shared: dict[str, Any] = found["$defs"]
    document = shared.pop("Document")
    document["properties"] = {key: _nullable(each) for key, each in document["properties"].items()}
    shared["Destination"]["oneOf"] = [
        {"required": ["bucket"], "properties": {"directory": {"type": "null"}}},
        {"required": ["directory"], "properties": {"directory": {"type": "string"}}, "not": {"required": ["bucket"]}},
    ]
    shared["Source"]["oneOf"] = [
        {"required": ["directory"], "properties": {"directory": {"type": "string"}}, "not": {"required": ["bucket"]}},
        {"required": ["bucket"], "properties": {"directory": {"type": "null"}}},
    ]
    needy = [name for name, step in registry.items() if _add_options(name, step, shared)]
    _bind_options(shared, list(registry), needy)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "wharf.yaml",
        **document,
        "$defs": dict(sorted(shared.items())),
    }


def _add_options(name: str, step: StepKind, shared: dict[str, Any]) -> bool:
    """Put the options of a step among the shared definitions; whether any of them is required."""
    declared: Any = step.options
    found = _tidy(adapter(declared).json_schema(ref_template=f"#/$defs/{name}.{{model}}"))
    shared |= {f"{name}.{model}": each for model, each in found.get("$defs", {}).items()}
    options = found["prefixItems"][0]
    shared[f"with.{name}"] = options
    return bool(shared[options["$ref"].rpartition("/")[2]].get("required"))


def _bind_options(shared: dict[str, Any], names: list[str], needy: list[str]) -> None:
    entry = shared["StepEntry"]
    entry["properties"]["uses"] |= {"enum": names}
    entry["allOf"] = [
        {
            "if": {"properties": {"uses": {"const": name}}, "required": ["uses"]},
            "then": _with({"$ref": f"#/$defs/with.{name}"}, is_required=name in needy),
        }
        for name in names
    ]
    entry["oneOf"] = [{"required": [kind]} for kind in KINDS]
    entry["dependentRequired"] = {"with": ["uses"], "checkpoint": ["uses"], "each": ["pipeline"], "members": ["each"]}
    steps = shared["PipelineEntry"]["properties"]["steps"]
    steps["items"] = {"anyOf": [{"enum": [name for name in names if name not in needy]}, {"$ref": "#/$defs/StepEntry"}]}


def _with(options: dict[str, Any], *, is_required: bool) -> dict[str, Any]:
    if is_required:
        return {"properties": {"with": options}, "required": ["with"]}
    return {"properties": {"with": _nullable(options)}}


def _nullable(found: dict[str, Any]) -> dict[str, Any]:
    """The same, or nothing after the key."""
    notes = {key: found[key] for key in _NOTES if key in found}
    rules = {key: each for key, each in found.items() if key not in notes}
    return {"anyOf": [rules, {"type": "null"}], **notes}


def _tidy(found: Any) -> Any:
    """A copy without pydantic's titles, which repeat the names, and without room for names that do not fit."""
    if isinstance(found, list):
        return [_tidy(each) for each in found]
    if not isinstance(found, Mapping):
        return found
    copy = {
        key: each if key in ("default", "examples", "enum", "const") else _tidy(each)
        for key, each in found.items()
        if key != "title" or not isinstance(each, str)
    }
    return {**copy, "additionalProperties": False} if "patternProperties" in copy else copy
