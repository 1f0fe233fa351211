"""Says in plain words what a setting takes, from its JSON Schema: "a whole number from 0 to 65535, such as 2222"."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wharfinger.config.entry import STEPS
from wharfinger.config.node import Trail
from wharfinger.config.place import NAMES

Schema = Mapping[str, Any]

_PATTERNS = {
    NAMES: "a name of at most 64 letters, digits, '.', '_' and '-'",
    STEPS: "a name of at most 64 letters, digits, '_' and '-'",
}
_KINDS = {"boolean": "true or false", "object": "a mapping", "null": "null"}


def within(schema: Schema, path: Trail) -> Schema:
    """The part of a schema that speaks of the value at `path`; {} where none does."""
    found = schema
    for part in path:
        found = next((below for one in alternatives(found, schema) for below in _below(one, part)), {})
    return found


def keys(schema: Schema, root: Schema) -> list[str]:
    """The keys that a mapping may have."""
    return [key for one in alternatives(schema, root) for key in one.get("properties", ())]


def name(schema: Schema, path: Trail) -> str:
    """What the keys of the mapping that holds `path` have to be."""
    for one in alternatives(within(schema, (0, *path[:-1])), schema):
        for pattern in one.get("patternProperties", ()):
            return kind({"type": "string", "pattern": pattern})
    return "another"


def phrase(schema: Schema, root: Schema) -> str:
    """What is expected, with its unit and an example."""
    words = _join([word for one in alternatives(schema, root) if (word := kind(one))])
    unit = f", in {schema['unit']}" if "unit" in schema else ""
    example = f", such as {_plain(schema['examples'][0])}" if schema.get("examples") else ""
    return f"{words}{unit}{example}" if words else ""


def kind(schema: Schema) -> str:
    """What one schema without alternatives takes."""
    if "enum" in schema or "const" in schema:
        return " or ".join(f"'{each}'" for each in schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "string":
            return _text(schema)
        case "integer":
            return "a whole number" + _bounds(schema)
        case "number":
            return "a number" + _bounds(schema)
        case "array":
            least = schema.get("minItems", 0)
            texts = " of texts" if schema.get("items", {}).get("type") == "string" else ""
            return f"a list{texts}" + (f" with at least {least} in it" if least else "")
    return _KINDS.get(str(schema.get("type")), "")


def _text(schema: Schema) -> str:
    if "pattern" in schema:
        return _PATTERNS.get(schema["pattern"], f"text that fits {schema['pattern']}")
    return "a path" if schema.get("format") == "path" else "text" + (", not empty" if schema.get("minLength") else "")


def _bounds(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f" from {least} to {most}"
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    said = " and ".join(f"{word} {schema[bound]:g}" for bound, word in words.items() if bound in schema)
    return f" of {said}" if said.startswith("at ") else f" {said}" if said else ""


def alternatives(schema: Schema, root: Schema) -> Iterator[Schema]:
    """The schemas without references or alternatives that this one stands for."""
    if "$ref" in schema:
        yield from alternatives(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    elif "anyOf" in schema or "oneOf" in schema:
        for one in schema.get("anyOf", schema.get("oneOf", ())):
            yield from alternatives(one, root)
    else:
        yield schema


def _below(schema: Schema, part: str | int) -> Iterator[Schema]:
    if isinstance(part, int):
        first: Sequence[Schema] = schema.get("prefixItems", ())
        if part < len(first):
            yield first[part]
        elif "items" in schema:
            yield schema["items"]
    elif part in schema.get("properties", {}):
        yield schema["properties"][part]
    elif isinstance(schema.get("additionalProperties"), Mapping):
        yield schema["additionalProperties"]
    else:
        yield from schema.get("patternProperties", {}).values()


def _join(words: list[str]) -> str:
    return " or ".join(dict.fromkeys(words))


def _plain(example: Any) -> str:
    return example if isinstance(example, str) else json.dumps(example)
