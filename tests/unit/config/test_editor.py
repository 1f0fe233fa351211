"""The JSON Schema agrees with the loader, and the published one is the present one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from wharfinger import config
from wharfinger.config import document
from wharfinger.config.mistake import Mistakes
from wharfinger.errors import ConfigError
from wharfinger.steps import BUILTIN
from wharfinger.steps.registry import Registry

from .conftest import STEPS, Load
from .test_loading import WHOLE

PUBLISHED = Path(__file__).parents[3] / "docs/reference/wharf.schema.json"


@pytest.fixture(scope="module")
def schema() -> jsonschema.protocols.Validator:
    found = config.schema(STEPS)
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def plain(text: str) -> Any:
    return document.parse(text, "wharf.yaml", Mistakes(Path("wharf.yaml"))).plain()


GOOD = [
    "{}",
    WHOLE,
    "data:\ncustomers:\nlisteners: {sftp: }\npipelines:",
    "destinations: {a: {bucket: a, directory: }, b: {directory: x, prefix: y/}}",
    "pipelines: {p: {route: {customer: [a*, b*], key: x, type: []}, steps: [note, {uses: note, name: b, with: }]}}",
    "destinations: {a: {bucket: a}}\npipelines: {p: {steps: [{uses: send, with: {to: a, mode: small, limits: {ratio: 1}}}]}}",
]

BAD = [
    "- a",
    "dat: x",
    "data: 3",
    "min_free: '1'",
    "min_free: -1",
    "bucket: a b",
    "listeners: {ftp: {}}",
    "listeners: {sftp: {port: 70000}}",
    "customers: {'a b': }",
    "customers: {acme: {weight: 0}}",
    "destinations: {a: {}}",
    "destinations: {a: {bucket: a, directory: b}}",
    "pipelines: {p: }",
    "pipelines: {p: {}}",
    "pipelines: {p: {steps: []}}",
    "pipelines: {p: {steps: [unknown]}}",
    "pipelines: {p: {steps: [send]}}",
    "pipelines: {p: {steps: [{uses: unknown}]}}",
    "pipelines: {p: {steps: [{name: a}]}}",
    "pipelines: {p: {steps: [{uses: send}]}}",
    "pipelines: {p: {steps: [{uses: note, with: {to: a}}]}}",
    "pipelines: {p: {steps: [{uses: note, name: a.b}]}}",
    "pipelines: {p: {steps: [{uses: note, wiht: {}}]}}",
    "pipelines: {p: {steps: [{uses: send, with: {to: a, level: 10}}]}}",
    "pipelines: {p: {steps: [{uses: send, with: {to: a, mode: slow}}]}}",
    "pipelines: {p: {steps: [{uses: send, with: {to: a, limits: {ratio: 0}}}]}}",
    "pipelines: {p: {steps: [note], retry: {tries: 0}}}",
    "pipelines: {p: {steps: [note], route: {key: 3}}}",
]


@pytest.mark.parametrize("text", GOOD)
def test_what_loads_fits_the_schema(text: str, load: Load, schema: jsonschema.protocols.Validator) -> None:
    load(text)
    schema.validate(plain(text))


@pytest.mark.parametrize("text", BAD)
def test_what_does_not_load_does_not_fit_the_schema(
    text: str, load: Load, schema: jsonschema.protocols.Validator
) -> None:
    with pytest.raises(ConfigError):
        load(text)
    assert not schema.is_valid(plain(text))


def test_every_setting_has_a_description_in_the_schema(schema: jsonschema.protocols.Validator) -> None:
    shared = schema.schema["$defs"]
    bare = [
        f"{where}.{name}"
        for where, each in [("", schema.schema), *shared.items()]
        for name, setting in each.get("properties", {}).items()
        if not _description(setting, shared)
    ]
    assert bare == []


def _description(found: dict[str, Any], shared: dict[str, Any]) -> str:
    for one in (found, *found.get("anyOf", ())):
        text = one.get("description") or shared.get(one.get("$ref", "").rpartition("/")[2], {}).get("description")
        if text:
            return str(text)
    return ""


def test_defaults_units_and_examples_are_in_the_schema(schema: jsonschema.protocols.Validator) -> None:
    speed = schema.schema["$defs"]["send.Everything"]["properties"]["speed"]
    assert (speed["default"], speed["unit"], speed["exclusiveMinimum"]) == (1.5, "MB/s", 0)
    assert schema.schema["properties"]["min_free"]["examples"] == [1 << 30]


def test_published_schema_is_current() -> None:
    registry = Registry()
    text = json.dumps(config.schema({name: registry[name] for name in BUILTIN}), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("WHARF_REGENERATE"):
        PUBLISHED.write_text(text, encoding="utf-8")
    assert PUBLISHED.read_text(encoding="utf-8") == text, (
        "run: WHARF_REGENERATE=1 .venv/bin/python -m pytest tests/unit/config"
    )
