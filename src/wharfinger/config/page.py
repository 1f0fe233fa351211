"""The reference page of all settings, in Markdown, made from their declarations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from wharfinger.config import expected
from wharfinger.config.check import described
from wharfinger.config.expected import Schema
from wharfinger.config.known import StepKind
from wharfinger.config.settings import Document

_OPENING = """\
# Configuration

<!-- Made from the declarations in src/wharfinger/config/settings.py and entry.py: edit those, then run
     WHARF_REGENERATE=1 .venv/bin/python -m pytest tests/unit/config -->

One file, `wharf.yaml`, says everything that is not about a single user: listeners, store, ledger, customers, destinations,
pipelines. `wharf check` tells every mistake in it, with line, column and the nearest valid word.

```yaml
data: ./wharf-data
listeners:
  sftp: {host: 127.0.0.1, port: 2222}
customers:
  acme: {weight: 2}
  other:
destinations:
  delivered: {bucket: delivered}
  partner: {directory: ./outgoing}
pipelines:
  claims:
    route: {customer: acme, key: ["inbound/**/*.csv", "inbound/*.gz"], when: "file.size > 0"}
    retry: {tries: 3}
    steps:
      - decompress
      - checksum
      - {uses: deliver, name: to-lake, with: {to: delivered}}
      - {uses: deliver, when: "steps.checksum.sha256 exists", with: {to: partner}}
```

## How it is read

* The file is YAML 1.2 in UTF-8, at most 1 MiB: `NO` and `22:22` are text, `0o17` is 15, only `true` and `false` are switches.
  A key that stands twice, an unknown tag and a merge key (`<<`) are refused; aliases may repeat 10,000 values. A file that
  begins with `{` is JSON.
* Relative paths start at the directory of the file. A single text may stand where a list of texts is wanted.
* At the top, a key with nothing after it counts as left out.
* The environment overrides the file: `WHARF_DATA=/srv/wharf`, `WHARF_LISTENERS__SFTP__PORT=0`. Two underscores lead one level
  down; a dash or dot in a name is written `_`. An empty variable counts as none; `null` is null; quotes make text of anything.
* Names of customers, destinations, buckets and pipelines have letters, digits, `.`, `_` and `-`, begin with a letter or digit
  and have at most 64 characters. Names of steps have no dots.
* No passwords or keys stand in the file: users and their keys are in the ledger (`wharf users`), host keys in files.
* Globs: `*` stays in a folder, `**` crosses folders (`**/` may also be nothing), `?` is one character, `[a-z]` and `[!a-z]` are
  sets, and `[*]` is a star. Capital letters count.
* Conditions, for `when`: see [conditions](conditions.md).
* The revision of a pipeline is the SHA-256 of its resolved form: defaults filled in, the versions of its steps, and what its
  destinations are.
"""

_CLOSING = """
## In an editor

[wharf.schema.json](wharf.schema.json) completes and checks a configuration as you type. Editors with the YAML language server
take it from a first line such as `# yaml-language-server: $schema=docs/reference/wharf.schema.json`.
"""


def reference(registry: Mapping[str, StepKind]) -> str:
    """The page. `registry` holds the steps whose options it names."""
    root = described(Document)
    sections = _sections("", root["$defs"]["Document"], root)
    return "\n".join([_OPENING, *sections, *_steps(registry), _CLOSING])


def _sections(trail: str, schema: Schema, root: Schema) -> Iterator[str]:
    """The table of one mapping, then those of the mappings in it."""
    properties: Mapping[str, Any] = schema["properties"]
    yield from (f"## {trail or 'The whole file'}", "", schema["description"], "")
    yield from ("| Setting | Takes | Default | Meaning |", "| --- | --- | --- | --- |")
    for name, found in properties.items():
        yield _row(name, found, name in schema.get("required", ()), root)
    yield ""
    for name, found in properties.items():
        for ending, inner in _inner(found, root):
            yield from _sections(f"{trail}.{name}{ending}".removeprefix("."), inner, root)


def _row(name: str, found: Schema, is_required: bool, root: Schema) -> str:
    default = "required" if is_required else _code(found.get("default")) if "default" in found else "see below"
    unit = f" {found['unit']}" if "unit" in found and not is_required else ""
    example = f" Example: {_code(found['examples'][0])}." if found.get("examples") else ""
    takes = expected.phrase({key: each for key, each in found.items() if key not in ("unit", "examples")}, root)
    meaning = found.get("description") or next(expected.alternatives(found, root))["description"]
    return f"| `{name}` | {_cell(takes)} | {_cell(default + unit)} | {_cell(meaning + example)} |"


def _inner(found: Schema, root: Schema) -> Iterator[tuple[str, Schema]]:
    """The mappings below a setting, each with what its name adds to the trail."""
    for one in expected.alternatives(found, root):
        if "properties" in one:
            yield "", one
        for below in one.get("patternProperties", {}).values():
            yield from ((f".NAME{ending}", inner) for ending, inner in _inner(below, root))
        if "items" in one:
            yield from ((f"[N]{ending}", inner) for ending, inner in _inner(one["items"], root))


def _steps(registry: Mapping[str, StepKind]) -> Iterator[str]:
    yield from ("## Steps", "", "What `uses` may name; the options of each stand in [steps](steps.md).", "")
    yield from (f"* `{name}`: {step.help}" for name, step in registry.items())


def _code(value: Any) -> str:
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
